"""Training objectives: the path from data to noise, predictions, losses and added terms."""

from nanogen.objectives.flow_matching import FlowMatching, Predicted
from nanogen.objectives.meanflow import MeanFlow
from nanogen.objectives.path import PREDICTIONS, StraightPath, TrainingTime, shift_factor, shifted
from nanogen.objectives.terms import objective_of, term_networks

__all__ = [
    "PREDICTIONS",
    "FlowMatching",
    "MeanFlow",
    "Predicted",
    "StraightPath",
    "TrainingTime",
    "objective_of",
    "shift_factor",
    "shifted",
    "term_networks",
]
