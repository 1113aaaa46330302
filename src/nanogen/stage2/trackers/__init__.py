"""Programs that show trainings, one module each."""
