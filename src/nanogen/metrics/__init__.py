"""Metrics: distances between image distributions, and agreement of an image with its prompt.

This package imports numpy only; networks (extractors, the detector) are imported by name.
"""

from nanogen.metrics.distribution import inception_score, mind
from nanogen.metrics.frechet import Moments, frechet_distance
from nanogen.metrics.neighbours import precision_recall

__all__ = ["Moments", "frechet_distance", "inception_score", "mind", "precision_recall"]
