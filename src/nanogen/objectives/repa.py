"""REPA: the tokens of an inner block predict a frozen encoder's patch features.

See Yu et al. 2024, "Representation Alignment for Generation", arXiv 2410.06940, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.schema import Term
from nanogen.config.tokenizer_schema import EndToEnd
from nanogen.objectives.flow_matching import FlowMatching, Predicted


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error, which the authors' code uses with a Linear as head."""
    return (predicted - target).square().mean()


def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the negative mean cosine, which the original REPA uses with an MLP as head."""
    return -F.cosine_similarity(predicted, target, dim=-1).mean()


DISTANCES = {
    "mse-linear": squared_error,
    "cosine-mlp": negative_cosine,
    "cosine-conv": negative_cosine,
}
TINY = 1e-6  # avoids a division by zero for constant features


def spatially_normalised(patches: Tensor, share: float) -> Tensor:
    """Normalise patch features (B, N, W) over the patches of each image.

    ``share`` times their mean is subtracted, and the result is divided by their standard deviation. This
    emphasises what distinguishes patches (Singh et al. 2025, arXiv 2512.10794).
    """
    patches = patches - share * patches.mean(1, keepdim=True)
    return patches / (patches.std(1, keepdim=True) + TINY)


class Repa:
    """Distance between the head's prediction and the features of the clean image."""

    def __init__(self, keys: Term | EndToEnd, base: FlowMatching, network: nn.Module | None):
        self.distance = DISTANCES[keys.head]
        self.share = keys.spatial_norm if isinstance(keys, Term) else None

    def __call__(self, predicted: Predicted) -> Tensor:
        batch, hidden = predicted.batch, predicted.output.hidden
        assert hidden is not None
        assert batch.patches is not None
        tokens = batch.patches.flatten(2).transpose(1, 2)  # (B, N, W)
        if self.share is not None:
            tokens = spatially_normalised(tokens, self.share)
        if batch.cls is not None:  # REG's token is aligned too
            tokens = torch.cat([batch.cls[:, None], tokens], dim=1)
        return self.distance(hidden.float(), tokens)


def on_grid(patches: Tensor, rows: int, columns: int) -> Tensor:
    """Resize patch features (B, W, h, w) to the backbone's grid of tokens (B, W, rows, columns)."""
    if patches.shape[-2:] == (rows, columns):
        return patches
    return F.interpolate(patches, (rows, columns), mode="bilinear", antialias=False)
