"""The straight path between data (t = 0) and noise (t = 1), training times, and predictions.

A prediction converts a network's output to the velocity along the path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


def per_sample(t: Tensor, like: Tensor) -> Tensor:
    """Reshape one value per sample, (B,), to broadcast with ``like`` (B, ...)."""
    return t.view(-1, *(1,) * (like.dim() - 1))


class PathSample(NamedTuple):
    x_t: Tensor  # (B, ...)
    velocity: Tensor  # (B, ...), the target


@dataclass(frozen=True)
class StraightPath:
    """The path x_t = (1 - t) x + t eps, with the target (x_t - x) / max(t, t_eps).

    The target equals eps - x except for t < t_eps, where it is smaller, as in the authors' code.
    """

    t_eps: float = 0.05

    def sample(self, x: Tensor, noise: Tensor, t: Tensor) -> PathSample:
        """Return points on the path from ``x`` to ``noise``, each (B, ...), at ``t`` (B,) in [0, 1]."""
        t = per_sample(t, x)
        x_t = (1 - t) * x + t * noise
        return PathSample(x_t, (x_t - x) / t.clamp_min(self.t_eps))


def shift_factor(size: int, base: int) -> float:
    """Return a = sqrt(size / base), where size is C * H * W of the latent (paper, section 2.1)."""
    return math.sqrt(size / base)


def shifted(t: Tensor, a: float) -> Tensor:
    """Return the shifted times a t / (1 + (a - 1) t); a > 1 moves times towards noise."""
    return a * t / (1 + (a - 1) * t)


@dataclass(frozen=True)
class TrainingTime:
    """Logit-normal training times, shifted according to the size of the latent."""

    mu: float
    sigma: float
    shift: float

    def __call__(self, normal: Tensor) -> Tensor:
        """Map standard normal numbers (B,) to times (B,) in (0, 1)."""
        return shifted(torch.sigmoid(self.mu + self.sigma * normal), self.shift)


def v_prediction(output: Tensor, x_t: Tensor, t: Tensor, t_eps: float) -> Tensor:
    """Return the output, which is the velocity."""
    return output


def x_prediction(output: Tensor, x_t: Tensor, t: Tensor, t_eps: float) -> Tensor:
    """Return (x_t - output) / max(t, t_eps), the velocity for an output that is the clean image."""
    t = t.view(-1, *(1,) * (x_t.dim() - 1))
    return (x_t - output) / t.clamp_min(t_eps)


# prediction -> conversion of a network's output to the velocity that losses and samplers use
PREDICTIONS = {"v": v_prediction, "x": x_prediction}
