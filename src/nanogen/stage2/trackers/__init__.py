"""Trackers, which display trainings; one module each."""
