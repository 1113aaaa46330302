"""PixelGen's second perceptual term, which compares patch features of a frozen encoder.

The predicted clean image is compared with the true one (Ma et al. 2026, arXiv 2602.02493).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.config.schema import Term
from nanogen.errors import UserError
from nanogen.objectives.flow_matching import FlowMatching, Predicted
from nanogen.objectives.perceptual import mean_below


class PatchFeatures:
    """Mean squared difference of patch features, for samples with little noise.

    Features of DINO encoders have unit variance, so for them it is 2 (1 - cosine), averaged over
    patches.
    """

    def __init__(self, keys: Term, base: FlowMatching, network: nn.Module | None):
        if network is None:
            raise UserError("the term features needs a frozen network: give --network NAME=DIR")
        self.network: Any = network  # a `nanogen.models.vision_features.Vision`
        self.t_below = keys.t_below

    def __call__(self, predicted: Predicted) -> Tensor:
        return mean_below(self.distance, predicted, self.t_below)

    def distance(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the distances (B,) of images (B, 3, H, W), differentiable in ``images``."""
        with torch.no_grad():
            wanted = self.network.patches(targets)
        return (self.network.patches(images) - wanted).square().mean((1, 2, 3))


def load_patch_features(folder: Path, model: Model) -> nn.Module:
    """Load the frozen encoder in ``folder``, whose ``patches`` are differentiable in the image."""
    from nanogen.models.vision_features import load_vision

    return load_vision(folder, model)
