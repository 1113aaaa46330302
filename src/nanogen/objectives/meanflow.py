"""MeanFlow: learn the average velocity over an interval, with a derivative (paper, section 2).

With z_t on the path, the average velocity u(z_t, r, t) over [r, t] and the velocity v satisfy

    v = u + (t - r) du/dt,    du/dt = (d/dz u) v + (d/dt u),

so the network is trained to make V = u + (t - r) stop_gradient(du/dt) equal to v (Geng et al. 2025,
"Mean Flows for One-step Generative Modeling", equations 6 and 8). The time tokens encode the length of
the interval, h = t - r, and the absolute-time tokens encode t.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.parallel import DistributedDataParallel

from nanogen.backbones import Output
from nanogen.backbones.embeddings import Condition, Conditioning
from nanogen.config.train_stage import BackboneStage
from nanogen.objectives.batch import Batch
from nanogen.objectives.path import PREDICTIONS, StraightPath, TrainingTime, shift_factor
from nanogen.transfer import sent

Average = Callable[..., Output]  # called like a network; its image output is u over [t - h, t]


@dataclass(frozen=True)
class TargetGuidance:
    """Guidance in the target: v_g = omega v + (1 - omega - kappa) v_u + kappa v_c.

    It applies to t in the closed ``interval``.
    """

    kappa: float = 0.0
    omega: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def active(self, t: Tensor) -> Tensor:
        """Return a mask (B,) of the times ``t`` (B,) that are in the interval."""
        low, high = self.interval
        return (t >= low) & (t <= high)


@dataclass(frozen=True)
class AdaptiveWeight:
    """Weight errors (B,) by 1 / stop_gradient(error + offset)^power (Geng et al. 2025, section 4.3)."""

    power: float = 1.0
    offset: float = 0.01

    def __call__(self, errors: Tensor) -> Tensor:
        return errors / (errors + self.offset).detach() ** self.power


class FlowMatchingSteps:
    """The steps of a training that are plain flow matching; a fraction ``share`` of all steps is not.

    Step n is flow matching if the n-th number of ``random.Random(seed)`` is below 1 - share, as in the
    authors' code with seed 42. Their sequence starts again when training is resumed; here it depends
    only on the step, so a resumed training has the same steps as an uninterrupted one.
    """

    def __init__(self, share: float, seed: int):
        self.below, self._generator = 1 - share, random.Random(seed)
        self._drawn: list[bool] = []

    def __contains__(self, step: int) -> bool:
        """Whether ``step``, counted from 0, is flow matching."""
        while len(self._drawn) <= step:
            self._drawn.append(self._generator.random() < self.below)
        return self._drawn[step]


class MeanFlow:
    """The MeanFlow objective.

    ``objective(model, batch, conditioner)`` returns losses by name; ``loss`` is the one to minimise.

    Most steps are plain flow matching, h = 0, which needs no derivative; the others compute it. The kind
    is drawn per step and not per sample, so that all processes do the same work.

    Guidance is part of the target: v is replaced by v_g of `TargetGuidance`, with the network's own
    velocities v_c and v_u with and without condition. The network learns guidance of scale
    omega / (1 - kappa), which costs nothing in sampling.

    With ``prediction`` x the output is the point that u leads to at t = 0: u = (z - output) /
    max(t, t_eps).
    """

    def __init__(
        self,
        path: StraightPath,
        times: TrainingTime,
        guidance: TargetGuidance,
        flow_matching: FlowMatchingSteps,
        dropout: float,
        prediction: str = "v",
        weight: AdaptiveWeight = AdaptiveWeight(),
    ):
        self.path, self.times, self.dropout = path, times, dropout
        self.guidance, self.flow_matching = guidance, flow_matching
        self.to_velocity, self.weight = PREDICTIONS[prediction], weight

    @classmethod
    def from_stage(cls, stage: BackboneStage) -> MeanFlow:
        """Build the objective of a stage of the kind ``meanflow``."""
        keys, own = stage.objective, stage.objective.meanflow
        assert stage.steps_seed is not None
        channels, rows, columns = stage.latent
        shift = shift_factor(channels * rows * columns, keys.shift_base)
        return cls(
            StraightPath(keys.t_eps),
            TrainingTime(keys.time_mu, keys.time_sigma, shift),
            TargetGuidance(own.kappa, own.omega, own.guidance_interval),
            FlowMatchingSteps(own.share, stage.steps_seed),
            stage.training.condition_dropout,
            keys.prediction,
            AdaptiveWeight(own.norm_power, own.norm_offset),
        )

    def __call__(self, model: nn.Module, batch: Batch, conditioner: Conditioning) -> dict[str, Tensor]:
        """Compute the losses of a batch; its step decides whether it is plain flow matching."""
        dropped = batch.uniform < self.dropout
        condition = conditioner.dropped(batch.condition, dropped)
        t, r = self.interval(batch)
        dropped = sent(dropped, batch.x.device)
        errors = self.errors(model, conditioner, batch.x, batch.noise, t, r, condition, dropped)
        return {"loss": self.weight(errors).mean(), "velocity_error": errors.mean() / batch.x[0].numel()}

    def interval(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the times t and r of the samples, each (B,): the larger and the smaller of two draws.

        In a flow matching step t is a single draw, and r, which equals t, is None. Such times are on
        average closer to the data than the larger of two draws.
        """
        one = sent(self.times(batch.normal), batch.x.device)
        if batch.step in self.flow_matching:
            return one, None
        other = sent(self.times(batch.other_normal), batch.x.device)
        return torch.maximum(one, other), torch.minimum(one, other)

    def errors(
        self,
        model: nn.Module,
        conditioner: Conditioning,
        x: Tensor,
        noise: Tensor,
        t: Tensor,
        r: Tensor | None,
        condition: Condition,
        dropped: Tensor,
    ) -> Tensor:
        """Compute the squared error of V at given times, summed per sample, (B,).

        Args:
            model: the network; its gradients are computed.
            conditioner: the network's conditioner, which returns the null condition.
            x, noise: (B, C, H, W).
            t: times (B,) in [0, 1].
            r: times (B,) with r <= t; None for r = t.
            condition: the condition of every sample.
            dropped: bool (B,), true for samples whose condition is dropped; they are not guided.
        """
        z, v = self.path.sample(x, noise, t)
        network = self._average(model.module if isinstance(model, DistributedDataParallel) else model)
        learning = self._average(model)
        if r is None:  # u is the network's velocity, which guidance needs as well
            u = velocity(learning, z, t, condition)
            with torch.no_grad():
                target = self.guided(network, conditioner, z, v, t, condition, dropped, u.detach())
        else:
            h = t - r
            with torch.no_grad():
                target = self.guided(network, conditioner, z, v, t, condition, dropped)
                target = target - _per_sample(h) * derivative(network, z, target, t, h, condition)
            u = learning(z, h, condition, absolute=t).image.float()
        return (u - target).square().flatten(1).sum(dim=1)

    def guided(
        self,
        network: Average,
        conditioner: Conditioning,
        z: Tensor,
        v: Tensor,
        t: Tensor,
        condition: Condition,
        dropped: Tensor,
        v_c: Tensor | None = None,
    ) -> Tensor:
        """Compute the velocity of `TargetGuidance`, (B, C, H, W).

        It is ``v`` for samples that are ``dropped`` and outside of the interval. ``v_c`` (B, C, H, W) is
        computed if it is not given.
        """
        kappa, omega = self.guidance.kappa, self.guidance.omega
        if kappa == 0 and omega == 1:
            return v
        null = conditioner.null(condition)
        if v_c is None and condition.length == null.length:  # both in one batch
            twice = torch.cat([z, z]), torch.cat([t, t]), condition.followed_by(null)
            v_c, v_u = velocity(network, *twice).chunk(2)
        else:
            v_c = velocity(network, z, t, condition) if v_c is None else v_c
            v_u = velocity(network, z, t, null)
        guided = v + kappa * (v_c - v_u) + (omega - 1) * (v - v_u)
        return torch.where(_per_sample(dropped | ~self.guidance.active(t)), v, guided)

    def _average(self, model: nn.Module) -> Average:
        """Wrap ``model`` so that its image output is an average velocity in float32."""

        def average(z: Tensor, h: Tensor, condition: Condition, absolute: Tensor) -> Output:
            output = model(z, h, condition, absolute=absolute)
            u = self.to_velocity(output.image.float(), z, absolute, self.path.t_eps)
            return output._replace(image=u)

        return average


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def velocity(network: Average, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """Return the velocity at ``t``: the average over an interval of length 0, float32 (B, C, H, W)."""
    return network(z, torch.zeros_like(t), condition, absolute=t).image.float()


def derivative(
    network: Average, z: Tensor, v: Tensor, t: Tensor, h: Tensor, condition: Condition
) -> Tensor:
    """Compute du/dt along the path by forward-mode differentiation, float32 (B, C, H, W).

    The direction in (z, t, r) is (v, 1, 0), so h = t - r and t both change at rate 1. Call this under
    `torch.no_grad`; otherwise every tangent is kept in memory.
    """
    with forward_ad.dual_level(), torch.compiler.set_stance("force_eager"):
        one = torch.ones_like(t)
        u = network(
            forward_ad.make_dual(z, v),
            forward_ad.make_dual(h, one),
            condition,
            absolute=forward_ad.make_dual(t, one),
        ).image
        return forward_ad.unpack_dual(u).tangent.float()
