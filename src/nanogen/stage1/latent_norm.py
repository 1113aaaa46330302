"""The BatchNorm between a VAE that is still learning and the backbone that learns from its latents.

A frozen VAE's latents are normalised by moments taken once. Here the latents move at every step, so
each batch is normalised by its own moments (Leng et al. 2025, arXiv 2504.10483, section 3), through
which the gradient flows: the VAE gains nothing by a larger or smaller latent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanogen.training.processes import Processes

EPSILON = 1e-4


class LatentNorm(nn.Module):
    """``(z - mean) / sqrt(var + 1e-4)`` per channel, without learned scale and shift.

    The buffers ``mean`` and ``var``, float32 (C,), follow the batches' moments.

    Args:
        momentum: share of the newest batch in them.
    """

    def __init__(self, channels: int, momentum: float):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, C, h, w), normalised by the moments of this process's N in float32."""
        latents = latents.float()
        var, mean = torch.var_mean(latents, (0, 2, 3), correction=0)
        return (latents - mean.view(1, -1, 1, 1)) / (var + EPSILON).sqrt().view(1, -1, 1, 1)

    @torch.no_grad()
    def follow(self, latents: Tensor, group: Processes) -> None:
        """Move the running moments towards those of a global batch, of which this is one share."""
        mean = group.mean(latents.float().mean((0, 2, 3)))
        square = group.mean(latents.float().square().mean((0, 2, 3)))
        self.mean.lerp_(mean, self.momentum)
        self.var.lerp_(square - mean.square(), self.momentum)
