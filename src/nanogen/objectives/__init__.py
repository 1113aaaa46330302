"""What a model is trained for: the path, the meaning of its output, the loss."""

from __future__ import annotations

from typing import Any

from nanogen.objectives.flow_matching import FlowMatching
from nanogen.objectives.meanflow import MeanFlow
from nanogen.objectives.path import StraightPath, TrainingTime, shift_factor, shifted
from nanogen.objectives.prediction import PREDICTIONS

__all__ = [
    "PREDICTIONS",
    "FlowMatching",
    "MeanFlow",
    "StraightPath",
    "TrainingTime",
    "objective_of",
    "shift_factor",
    "shifted",
]
KINDS = {"flow-matching": FlowMatching, "meanflow": MeanFlow}


def objective_of(stage: dict[str, Any]) -> FlowMatching | MeanFlow:
    """The objective of a ``train`` stage."""
    return KINDS[stage["objective"]["kind"]].from_stage(stage)
