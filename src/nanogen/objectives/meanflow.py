"""MeanFlow: the average velocity over an interval, by one derivative of the network (paper, section 2).

With z_t on the path, the average velocity u(z_t, r, t) over [r, t] and the velocity v satisfy

    v = u + (t - r) du/dt,    du/dt = (d/dz u) v + (d/dt u),

so the network is trained to make V = u + (t - r) stop_gradient(du/dt) equal to v (Geng et al. 2025,
"Mean Flows for One-step Generative Modeling", equations 6 and 8). It is told the interval's length
h = t - r by the time tokens and t by the absolute-time tokens.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.parallel import DistributedDataParallel

from nanogen.backbones.embeddings import Condition, Conditioning
from nanogen.config.train_stage import BackboneStage
from nanogen.objectives.batch import Batch
from nanogen.objectives.path import StraightPath, TrainingTime, shift_factor

ERROR_OFFSET = 0.01  # of the adaptive weight: keeps it finite where the error vanishes


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

    Guidance is in the target: v + kappa (v_c - v_u) in place of v, with the network's own velocities
    v_c and v_u with and without condition. Its fixed point is guidance of scale 1 / (1 - kappa), at
    no cost in sampling.
    """

    def __init__(
        self,
        path: StraightPath,
        times: TrainingTime,
        kappa: float,
        flow_matching: FlowMatchingSteps,
        dropout: float,
    ):
        self.path, self.times, self.dropout = path, times, dropout
        self.kappa, self.flow_matching = kappa, flow_matching

    @classmethod
    def from_stage(cls, stage: BackboneStage) -> MeanFlow:
        """The objective of a stage whose kind is meanflow."""
        keys = stage.objective
        assert stage.steps_seed is not None
        channels, rows, columns = stage.latent
        shift = shift_factor(channels * rows * columns, keys.shift_base)
        return cls(
            StraightPath(keys.t_eps),
            TrainingTime(keys.time_mu, keys.time_sigma, shift),
            keys.meanflow.kappa,
            FlowMatchingSteps(keys.meanflow.share, stage.steps_seed),
            stage.training.condition_dropout,
        )

    def __call__(self, model: nn.Module, batch: Batch, conditioner: Conditioning) -> dict[str, Tensor]:
        """Losses of one batch, of the kind that its step is."""
        dropped = batch.uniform < self.dropout
        condition = conditioner.dropped(batch.condition, dropped)
        t, r = self.interval(batch)
        errors = self.errors(model, conditioner, batch.x, batch.noise, t, r, condition, dropped)
        return {"loss": weighted(errors).mean(), "velocity_error": errors.mean() / batch.x[0].numel()}

    def interval(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Times t and r of the samples, each (B,): two draws, the larger t and the smaller r.

        A flow-matching step draws one time, t, and no r, which equals it. Its times lie nearer to the
        data than the larger of two draws does.
        """
        one = self.times(batch.normal)
        if batch.step in self.flow_matching:
            return one, None
        other = self.times(batch.other_normal)
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
        network = model.module if isinstance(model, DistributedDataParallel) else model
        if r is None:  # u is the network's velocity, which guidance needs as well
            u = velocity(model, z, t, condition)
            with torch.no_grad():
                target = self.guided(network, conditioner, z, v, t, condition, dropped, u.detach())
        else:
            h = t - r
            with torch.no_grad():
                target = self.guided(network, conditioner, z, v, t, condition, dropped)
                target = target - _per_sample(h) * derivative(network, z, target, t, h, condition)
            u = model(z, h, condition, absolute=t).image.float()
        return (u - target).square().flatten(1).sum(dim=1)

    def guided(
        self,
        network: nn.Module,
        conditioner: Conditioning,
        z: Tensor,
        v: Tensor,
        t: Tensor,
        condition: Condition,
        dropped: Tensor,
        v_c: Tensor | None = None,
    ) -> Tensor:
        """w v + (1 - w - kappa) v_u + kappa v_c with w = 1; plain ``v`` where ``dropped``.

        ``v_c`` (B, C, H, W) is computed unless it is known.
        """
        if self.kappa == 0:
            return v
        if v_c is None:
            v_c = velocity(network, z, t, condition)
        null = conditioner.dropped(condition, torch.ones_like(dropped))
        v_u = velocity(network, z, t, null)
        return torch.where(_per_sample(dropped), v, v + self.kappa * (v_c - v_u))


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def velocity(network: nn.Module, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """The average velocity over no time at all, (B, C, H, W) float32."""
    return network(z, torch.zeros_like(t), condition, absolute=t).image.float()


def derivative(
    network: nn.Module, z: Tensor, v: Tensor, t: Tensor, h: Tensor, condition: Condition
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


def weighted(errors: Tensor) -> Tensor:
    """Errors (B,) with the adaptive weight 1 / stop_gradient(error + 0.01)."""
    return errors / (errors + ERROR_OFFSET).detach()
