"""Learning rate schedules."""

from __future__ import annotations

import math

from nanogen.config.entries import named
from nanogen.config.schedules import SCHEDULES
from nanogen.config.training_schema import Optimizer


def learning_rate(step: int, optimizer: Optimizer) -> float:
    """Return the learning rate of ``step``, counted from 0.

    It warms up linearly from 0, is constant until ``decay_start``, and then follows ``schedule`` to
    ``final_learning_rate`` at ``decay_end``.

    According to the paper, the warm-up takes 40 epochs and the decay the remaining ones. The authors'
    code has no warm-up, a constant rate for 40 epochs, and a decay that ends at epoch 800. Both can be
    configured.
    """
    peak, final = optimizer.learning_rate, optimizer.final_learning_rate
    warmup, start, end = optimizer.warmup_steps, optimizer.decay_start, optimizer.decay_end
    if step < warmup:
        return peak * (step + 1) / warmup
    if step < start or end <= start:
        return peak
    gone = named(SCHEDULES[optimizer.schedule])(min(1.0, (step - start) / (end - start)))
    return peak + gone * (final - peak)


def linear(done: float) -> float:
    """Linear decay: the completed fraction of the decay equals the fraction ``done`` of its steps."""
    return done


def half_cosine(done: float) -> float:
    """Cosine decay, slow at both ends (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5)."""
    return 1 - remaining(done)


def cosine(step: int, steps: int, warmup: int, peak: float, final: float) -> float:
    """Return the rate after linear warm-up to ``peak`` and half a cosine to ``final`` at step ``steps``.

    ``step`` is counted from 1. The warm-up takes at most the first half of the steps.
    """
    warmup = min(warmup, steps // 2)
    if step <= warmup:
        return peak * step / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (peak - final) * remaining(done)


def remaining(done: float) -> float:
    """Return half a cosine, from 1 at ``done`` = 0 to 0 at ``done`` = 1."""
    return 0.5 * (1 + math.cos(math.pi * done))
