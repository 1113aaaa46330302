"""Exchange with other programs: the authors' released checkpoints, the Hugging Face hub."""
