"""Sampling: solvers with guidance on an interval, and noise that depends on the image's index."""
