"""The origin of every number: the chain of steps behind it, and their records."""
