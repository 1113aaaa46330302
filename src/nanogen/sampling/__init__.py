"""Sampling: Euler steps with guidance on an interval, noise by index."""
