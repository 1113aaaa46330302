"""Backbones: the networks that methods train."""

from nanogen.backbones.ddt import DDT
from nanogen.backbones.embeddings import Condition
from nanogen.backbones.encoder import InContextEncoder, Output
from nanogen.backbones.lightning import LightningDiT
from nanogen.backbones.saving import build, load, parameter_count, save

__all__ = [
    "DDT",
    "Condition",
    "InContextEncoder",
    "LightningDiT",
    "Output",
    "build",
    "load",
    "parameter_count",
    "save",
]
