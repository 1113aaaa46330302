"""Metrics: distances between image distributions, and agreement of an image with its prompt."""
