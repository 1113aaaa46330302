"""Learning rate by step."""

from __future__ import annotations

import math

from nanogen.config.entries import named
from nanogen.config.schedules import SCHEDULES
from nanogen.config.training_schema import Optimizer


def learning_rate(step: int, optimizer: Optimizer) -> float:
    """Linear warm-up from 0, constant until ``decay_start``, then along ``schedule`` to
    ``final_learning_rate``. ``step`` is counted from 0.

    The paper's text: warm-up 40 epochs, then decay over the rest. The authors' code: no warm-up,
    constant for 40 epochs, then a decay that ends at epoch 800. Both are settings of the four keys.
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
    """As much of the way as of the steps."""
    return done


def half_cosine(done: float) -> float:
    """Slow at both ends (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5)."""
    return 1 - remaining(done)


def cosine(step: int, steps: int, warmup: int, peak: float, final: float) -> float:
    """Linear warm-up to ``peak``, then half a cosine to ``final`` at the last of ``steps``.

    ``step`` is counted from 1; the warm-up takes at most the first half of the steps.
    """
    warmup = min(warmup, steps // 2)
    if step <= warmup:
        return peak * step / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (peak - final) * remaining(done)


def remaining(done: float) -> float:
    """Half a cosine, from 1 where nothing is done to 0 where all is."""
    return 0.5 * (1 + math.cos(math.pi * done))
