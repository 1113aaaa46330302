"""Backbones: the network that all methods share."""

from nanogen.backbones.ddt import DDT, Output
from nanogen.backbones.embeddings import Condition
from nanogen.backbones.saving import build, load, parameter_count, save

__all__ = ["DDT", "Condition", "Output", "build", "load", "parameter_count", "save"]
