"""Results as files that can be submitted, checked and merged into one table of both axes."""
