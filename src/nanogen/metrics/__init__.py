"""Metrics: distances between distributions of images, and the agreement of images with prompts."""
