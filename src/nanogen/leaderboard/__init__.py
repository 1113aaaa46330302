"""Results as files that can be handed in, checked and merged into one table of both axes."""
