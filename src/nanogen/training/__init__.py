"""Stage 2: one training loop for every method and task."""
