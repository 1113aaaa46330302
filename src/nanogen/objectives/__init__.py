"""What a model is trained for: the path, the meaning of its output, the loss."""

from nanogen.objectives.flow_matching import FlowMatching
from nanogen.objectives.path import StraightPath, TrainingTime, shift_factor, shifted
from nanogen.objectives.prediction import PREDICTIONS

__all__ = ["PREDICTIONS", "FlowMatching", "StraightPath", "TrainingTime", "shift_factor", "shifted"]
