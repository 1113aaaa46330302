"""Training code that both stages share."""
