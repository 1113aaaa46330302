"""MeanFlow: the average velocity over an interval, by one derivative of the network (paper, section 2).

With z_t on the path, the average velocity u(z_t, r, t) over [r, t] and the velocity v satisfy

    v = u + (t - r) du/dt,    du/dt = (d/dz u) v + (d/dt u),

so the network is trained to make V = u + (t - r) stop_gradient(du/dt) equal to v (Geng et al. 2025,
"Mean Flows for One-step Generative Modeling", equations 6 and 8). It is told the interval's length
h = t - r by the time tokens and t by the absolute-time tokens.
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
from nanogen.backbones.embeddings import Condition, Conditioning, sent
from nanogen.config.train_stage import BackboneStage
from nanogen.objectives.batch import Batch
from nanogen.objectives.path import PREDICTIONS, StraightPath, TrainingTime, shift_factor

Average = Callable[..., Output]  # a network, or what stands in for one: its image is u over [t - h, t]


@dataclass(frozen=True)
class TargetGuidance:
    """The target's v_g = omega v + (1 - omega - kappa) v_u + kappa v_c for t in the closed interval."""

    kappa: float = 0.0
    omega: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def active(self, t: Tensor) -> Tensor:
        """Where ``t`` (B,) lies in the interval."""
        low, high = self.interval
        return (t >= low) & (t <= high)


@dataclass(frozen=True)
class AdaptiveWeight:
    """Errors (B,) times 1 / stop_gradient(error + offset)^power (Geng et al. 2025, section 4.3)."""

    power: float = 1.0
    offset: float = 0.01

    def __call__(self, errors: Tensor) -> Tensor:
        return errors / (errors + self.offset).detach() ** self.power


class FlowMatchingSteps:
    """Tells which steps of a run are plain flow matching; the others, ``share`` of them, are MeanFlow's.

    Step n is flow matching where the n-th number of ``random.Random(seed)`` is below 1 - share, as in
    the authors' code with the seed 42. Theirs starts anew when training is resumed; here the answer
    depends on the step alone, so a resumed run has the steps of an undisturbed one.
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
    """``objective(model, batch, conditioner)`` -> named losses; ``loss`` is the one to minimise.

    Most steps are plain flow matching, h = 0, which needs no derivative; a share of them takes it.
    Which, is drawn per step and not per sample, so that all processes do the same work.

    Guidance is in the target: `TargetGuidance`'s v_g in place of v, with the network's own velocities
    v_c and v_u with and without condition. Its fixed point is guidance of scale omega / (1 - kappa), at
    no cost in sampling.

    With ``prediction`` x the output is where u leads to at t = 0: u = (z - output) / max(t, t_eps).
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
        """The objective of a stage whose kind is meanflow."""
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
        """Losses of one batch, of the kind that its step is."""
        dropped = batch.uniform < self.dropout
        condition = conditioner.dropped(batch.condition, dropped)
        t, r = self.interval(batch)
        errors = self.errors(model, conditioner, batch.x, batch.noise, t, r, condition, dropped)
        return {"loss": self.weight(errors).mean(), "velocity_error": errors.mean() / batch.x[0].numel()}

    def interval(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Times t and r of the samples, each (B,): two draws, the larger t and the smaller r.

        A flow-matching step draws one time, t, and no r, which equals it. Its times lie nearer to the
        data than the larger of two draws does.
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
        """Squared error of V, summed per sample, (B,), at given times.

        ``x``, ``noise`` (B, C, H, W); ``t``, ``r`` (B,) with r <= t, none for r = t; ``dropped`` (B,)
        true for the samples whose condition is missing, which are not guided.
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
        """`TargetGuidance`'s velocity; plain ``v`` where ``dropped`` and outside of the interval.

        ``v_c`` (B, C, H, W) is computed unless it is known.
        """
        kappa, omega = self.guidance.kappa, self.guidance.omega
        if kappa == 0 and omega == 1:
            return v
        null = conditioner.dropped(condition, torch.ones_like(dropped))
        if v_c is None:  # both in one batch
            twice = torch.cat([z, z]), torch.cat([t, t]), condition.followed_by(null)
            v_c, v_u = velocity(network, *twice).chunk(2)
        else:
            v_u = velocity(network, z, t, null)
        guided = v + kappa * (v_c - v_u) + (omega - 1) * (v - v_u)
        return torch.where(_per_sample(dropped | ~self.guidance.active(t)), v, guided)

    def _average(self, model: nn.Module) -> Average:
        """What ``model`` predicts, as an average velocity in float32."""

        def average(z: Tensor, h: Tensor, condition: Condition, absolute: Tensor) -> Output:
            output = model(z, h, condition, absolute=absolute)
            u = self.to_velocity(output.image.float(), z, absolute, self.path.t_eps)
            return output._replace(image=u)

        return average


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def velocity(network: Average, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """The average velocity over no time at all, (B, C, H, W) float32."""
    return network(z, torch.zeros_like(t), condition, absolute=t).image.float()


def derivative(
    network: Average, z: Tensor, v: Tensor, t: Tensor, h: Tensor, condition: Condition
) -> Tensor:
    """du/dt along the path: forward mode along (v, 1, 0) in (z, t, r), (B, C, H, W) float32.

    Both h = t - r and t move at rate 1. Call it without gradients: they would keep every tangent.
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
