"""What the trainings of both stages share."""
