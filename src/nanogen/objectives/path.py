"""The straight path between data (t = 0) and noise (t = 1), the times it is trained at, and the
velocity along it that a network's output means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


def per_sample(t: Tensor, like: Tensor) -> Tensor:
    """One value per sample, (B,), with as many dimensions as ``like`` (B, ...)."""
    return t.view(-1, *(1,) * (like.dim() - 1))


class PathSample(NamedTuple):
    x_t: Tensor  # (B, ...)
    velocity: Tensor  # (B, ...), the target


@dataclass(frozen=True)
class StraightPath:
    """x_t = (1 - t) x + t eps, target (x_t - x) / max(t, t_eps).

    The target equals eps - x except for t < t_eps, where it shrinks, as in the authors' code.
    """

    t_eps: float = 0.05

    def sample(self, x: Tensor, noise: Tensor, t: Tensor) -> PathSample:
        """``x``, ``noise`` (B, ...), images or cls features; ``t`` (B,) in [0, 1]."""
        t = per_sample(t, x)
        x_t = (1 - t) * x + t * noise
        return PathSample(x_t, (x_t - x) / t.clamp_min(self.t_eps))


def shift_factor(size: int, base: int) -> float:
    """a = sqrt(size / base), with size = C * H * W of the latent (paper, section 2.1)."""
    return math.sqrt(size / base)


def shifted(t: Tensor, a: float) -> Tensor:
    """t <- a t / (1 + (a - 1) t): a > 1 moves times toward noise."""
    return a * t / (1 + (a - 1) * t)


@dataclass(frozen=True)
class TrainingTime:
    """Logit-normal times, shifted by the latent's size."""

    mu: float
    sigma: float
    shift: float

    def __call__(self, normal: Tensor) -> Tensor:
        """Standard normal draws (B,) -> times (B,) in (0, 1)."""
        return shifted(torch.sigmoid(self.mu + self.sigma * normal), self.shift)


def v_prediction(output: Tensor, x_t: Tensor, t: Tensor, t_eps: float) -> Tensor:
    """The output is the velocity."""
    return output


def x_prediction(output: Tensor, x_t: Tensor, t: Tensor, t_eps: float) -> Tensor:
    """The output is the clean image: velocity (x_t - output) / max(t, t_eps)."""
    t = t.view(-1, *(1,) * (x_t.dim() - 1))
    return (x_t - output) / t.clamp_min(t_eps)


# what a network's output means -> how it becomes the velocity that losses and samplers use
PREDICTIONS = {"v": v_prediction, "x": x_prediction}
