"""The sampler: Euler steps from noise (t = 1) to data (t = 0) on a shifted grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from nanogen.backbones.embeddings import Condition
from nanogen.objectives.path import shifted

Velocity = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def time_grid(steps: int, shift: float) -> list[float]:
    """``steps + 1`` times from 1 to 0, shifted (see ``nanogen.objectives.path.shifted``)."""
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift).tolist()


@dataclass(frozen=True)
class Guidance:
    """v_u + scale (v_c - v_u) for t in the closed interval, else v_c."""

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def active(self, t: float) -> bool:
        """Whether the unconditional pass is needed at ``t``; outside it would be pure waste."""
        low, high = self.interval
        return self.scale != 1.0 and low <= t <= high


def _doubled(condition: Condition, null: Condition) -> Condition:
    parts = zip(vars(condition).values(), vars(null).values(), strict=True)
    return Condition(*(None if a is None else torch.cat([a, b]) for a, b in parts))


@torch.no_grad()
def euler(
    model: nn.Module,
    to_velocity: Velocity,
    noise: Tensor,
    condition: Condition,
    grid: list[float],
    guidance: Guidance,
    t_eps: float = 0.05,
) -> Tensor:
    """Integrate from ``noise`` (B, C, H, W) along ``grid``; returns latents (B, C, H, W)."""
    x = noise
    everywhere = torch.ones(len(x), dtype=torch.bool, device=x.device)
    both = _doubled(condition, model.conditioner.dropped(condition, everywhere))
    for t, following in pairwise(grid):
        times = torch.full((len(x),), t, device=x.device)
        if guidance.active(t):
            x2, t2 = torch.cat([x, x]), torch.cat([times, times])
            v, v_null = to_velocity(model(x2, t2, both).image.float(), x2, t2, t_eps).chunk(2)
            v = v_null + guidance.scale * (v - v_null)
        else:
            v = to_velocity(model(x, times, condition).image.float(), x, times, t_eps)
        x = x - (t - following) * v
    return x
