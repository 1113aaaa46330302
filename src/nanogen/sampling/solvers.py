"""Solvers from noise (t = 1) to data (t = 0) on a shifted time grid.

They take steps along the velocity, or a few steps with MeanFlow's average velocity over an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from nanogen.backbones import Condition, Output
from nanogen.config.entries import named
from nanogen.config.solvers import SOLVERS
from nanogen.objectives.path import shifted, v_prediction

Velocity = Callable[[Tensor, Tensor, Tensor, float], Tensor]
State = Sequence[Tensor]  # the image (B, C, H, W), and with REG the class token (B, Z)


def time_grid(steps: int, shift: float) -> list[float]:
    """Return ``steps + 1`` shifted times from 1 to 0 (see ``nanogen.objectives.path.shifted``)."""
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift).tolist()


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance on an interval, and internal guidance.

    The velocity is v_u + scale (v_c - v_u) for t in the closed ``interval``, and v_c elsewhere. For t in
    ``internal_interval`` both velocities are first moved away from those of the inner head: base +
    internal (full - base). For v_u the scale is ``internal_unconditional`` unless that is None.
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    internal: float = 1.0
    internal_interval: tuple[float, float] = (0.0, 1.0)
    internal_unconditional: float | None = None

    def active(self, t: float) -> bool:
        """Whether the unconditional velocity is needed at ``t``."""
        low, high = self.interval
        return self.scale != 1.0 and low <= t <= high

    def internal_at(self, t: float) -> tuple[float, float]:
        """Return the scales of internal guidance at ``t``, with the condition and without."""
        low, high = self.internal_interval
        if not low <= t <= high:
            return 1.0, 1.0
        null = self.internal_unconditional
        return self.internal, self.internal if null is None else null


class Field:
    """Velocities of the image and, with REG, of the class token."""

    def __init__(self, model: nn.Module, to_velocity: Velocity, t_eps: float):
        self.model: Any = model  # a backbone, or a module that is called like one
        self.to_velocity, self.t_eps = to_velocity, t_eps

    def __call__(self, state: State, t: Tensor, condition: Condition, *internal: float) -> State:
        """Compute velocities; ``internal`` are scales of internal guidance, one per part of a batch."""
        output = self.model(state[0], t, condition, *state[1:])
        full = self._velocities(output, state, t)
        if set(internal) == {1.0}:
            return full
        starts = _parts(self._velocities(output.base, state, t), len(internal))
        ends = _parts(full, len(internal))
        parts = [moved(*each) for each in zip(starts, ends, internal, strict=True)]
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    def _velocities(self, output: Output, state: State, t: Tensor) -> State:
        image = self.to_velocity(output.image.float(), state[0], t, self.t_eps)
        if len(state) == 1:
            return [image]
        assert output.cls is not None
        return [image, output.cls.float()]


def moved(start: State, end: State, scale: float) -> State:
    """Return start + scale (end - start)."""
    return [a + scale * (b - a) for a, b in zip(start, end, strict=True)]


class GuidedField:
    """Guided velocities of one batch: (state, t) -> velocities of the parts of the state.

    ``null`` is the condition that guidance moves away from; by default the null condition of training.
    """

    def __init__(
        self,
        field: Field,
        condition: Condition,
        guidance: Guidance,
        null: Condition | None = None,
    ):
        self.field, self.condition, self.guidance = field, condition, guidance
        self.null = field.model.conditioner.null(condition) if null is None else null
        # The null prompt has no tokens: in one batch with texts, it would cost as much as they do.
        same = condition.length == self.null.length
        self.both = condition.followed_by(self.null) if same else None

    def __call__(self, state: State, t: float) -> State:
        times = torch.full((len(state[0]),), t, device=state[0].device)
        internal = self.guidance.internal_at(t)
        if not self.guidance.active(t):
            return self.field(state, times, self.condition, internal[0])
        if self.both is None:
            conditional = self.field(state, times, self.condition, internal[0])
            null = self.field(state, times, self.null, internal[1])
            return moved(null, conditional, self.guidance.scale)
        doubled = [torch.cat([x, x]) for x in state]
        velocities = self.field(doubled, torch.cat([times, times]), self.both, *internal)
        conditional, null = _parts(velocities, 2)
        return moved(null, conditional, self.guidance.scale)


def _parts(state: State, count: int) -> list[State]:
    """Split a batch into equal parts."""
    return [list(part) for part in zip(*(x.chunk(count) for x in state), strict=True)]


Step = Callable[[GuidedField, State, float, float], State]  # (field, state at t, t, next time)


def along(state: State, velocity: State, length: float) -> State:
    """Return the state after a straight step of ``length`` towards data."""
    return [x - length * v for x, v in zip(state, velocity, strict=True)]


def euler(field: GuidedField, state: State, t: float, following: float) -> State:
    """Euler's method: first order, one evaluation per step."""
    return along(state, field(state, t), t - following)


def heun(field: GuidedField, state: State, t: float, following: float) -> State:
    """Heun's method: second order, two evaluations per step.

    A step uses the mean of the velocities at both of its ends. The last step, which ends at data, is an
    Euler step (Karras et al. 2022, arXiv 2206.00364, Algorithm 1).
    """
    first = field(state, t)
    predicted = along(state, first, t - following)
    if following == 0:
        return predicted
    second = field(predicted, following)
    return along(state, moved(first, second, 0.5), t - following)


def solver(name: str) -> Step:
    """Return the step function of a solver in ``nanogen.config.solvers``."""
    return named(SOLVERS[name])


@torch.no_grad()
def integrate(
    model: nn.Module,
    to_velocity: Velocity,
    noise: Tensor,
    condition: Condition,
    grid: list[float],
    guidance: Guidance,
    t_eps: float = 0.05,
    cls_noise: Tensor | None = None,
    step: Step = euler,
    null: Condition | None = None,
) -> Tensor:
    """Integrate from ``noise`` (B, C, H, W) along ``grid``; returns latents (B, C, H, W).

    Args:
        model: the backbone.
        to_velocity: converts its output to a velocity (`nanogen.objectives.path.PREDICTIONS`).
        noise: standard normal, (B, C, H, W).
        condition: the condition of every sample.
        grid: falling times from 1 to 0 (`time_grid`).
        guidance: scales and intervals of guidance.
        t_eps: smallest time that an x-prediction is divided by.
        cls_noise: noise of the class token (B, Z), if the model diffuses it together with the image.
        step: the step function of a solver.
        null: as in `GuidedField`.
    """
    state: State = [noise] if cls_noise is None else [noise, cls_noise]
    velocities = Field(model, to_velocity, t_eps)
    field = GuidedField(velocities, condition, guidance, null)
    for t, following in pairwise(grid):
        state = step(field, state, t, following)
    return state[0]


@torch.no_grad()
def average_steps(
    model: nn.Module,
    noise: Tensor,
    condition: Condition,
    grid: list[float],
    to_velocity: Velocity = v_prediction,
    t_eps: float = 0.05,
) -> Tensor:
    """Sample with the average velocity: z_r = z_t - (t - r) u(z_t, r, t) for every interval of ``grid``.

    ``grid`` falls from 1 to 0. ``noise`` is (B, C, H, W); returns latents (B, C, H, W). Guidance is part
    of the trained u (``nanogen.objectives.meanflow``), so a step is one evaluation.
    """
    z = noise
    for t, r in pairwise(grid):
        times, lengths = (torch.full((len(z),), value, device=z.device) for value in (t, t - r))
        output = model(z, lengths, condition, absolute=times).image.float()
        z = z - (t - r) * to_velocity(output, z, times, t_eps)
    return z
