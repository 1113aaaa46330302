"""The few-step sampler: the average velocity over an interval carries a sample across it at once."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from nanogen.backbones.embeddings import Condition


@torch.no_grad()
def average_steps(model: nn.Module, noise: Tensor, condition: Condition, grid: list[float]) -> Tensor:
    """z_r = z_t - (t - r) u(z_t, r, t) for every interval [r, t] of ``grid``, which falls from 1 to 0.

    ``noise`` (B, C, H, W); returns latents (B, C, H, W). Guidance is in the trained u
    (``nanogen.objectives.meanflow``), so a step is one pass.
    """
    z = noise
    for t, r in pairwise(grid):
        times, lengths = (torch.full((len(z),), value, device=z.device) for value in (t, t - r))
        z = z - (t - r) * model(z, lengths, condition, absolute=times).image.float()
    return z
