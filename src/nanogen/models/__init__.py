"""Frozen networks: their architectures, and how to load them without executing code."""
