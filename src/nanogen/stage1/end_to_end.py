"""End-to-end tuning of a VAE (REPA-E; Leng et al. 2025, arXiv 2504.10483, section 3): one joint step.

VAE, BatchNorm and backbone learn together from

    L(backbone, VAE) = L_DIFF(backbone) + lambda L_REPA(backbone, VAE) + L_REG(VAE).

L_DIFF, the flow-matching loss, never reaches the VAE: latents that are easy to denoise are empty ones,
and a VAE that is taught by it loses what it encoded. What reaches it through the backbone is L_REPA
alone, which asks that the noisy latents tell what a frozen encoder sees in the image. L_REG keeps it
a VAE. lambda is 0.5 for the backbone and 1.5 for the VAE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nanogen.backbones.embeddings import Conditioning
from nanogen.config.tokenizer_schema import EndToEnd
from nanogen.config.train_stage import BackboneStage
from nanogen.objectives.batch import Batch
from nanogen.objectives.flow_matching import FlowMatching
from nanogen.objectives.repa import Repa
from nanogen.stage1.adversarial import Discriminated
from nanogen.training.processes import Processes

Regularised = tuple[dict[str, Tensor], Discriminated | None]
EPSILON = 1e-4  # of `LatentNorm`


class Backbone(NamedTuple):
    """The backbone under training, which sees latents through the norm."""

    norm: LatentNorm
    network: nn.Module  # as processes share it
    conditioner: Conditioning


@dataclass(frozen=True)
class JointLoss:
    """The losses of a joint step, and where each of their gradients goes.

    Attributes:
        objective: flow matching of the backbone.
        repa: distance of the backbone's inner block from the encoder's patch features.
        coefficient, vae_coefficient: lambda, for the backbone and for the VAE.
    """

    objective: FlowMatching
    repa: Repa
    coefficient: float
    vae_coefficient: float

    @classmethod
    def of(cls, keys: EndToEnd, joint: BackboneStage) -> JointLoss:
        """As a model's ``end_to_end`` asks for it, of the backbone that it is tuned with."""
        objective = FlowMatching.from_stage(joint)
        repa = Repa(keys, objective, None)
        return cls(objective, repa, keys.coefficient, keys.vae_coefficient)

    def backward(
        self,
        latents: Tensor,
        backbone: Backbone,
        batch: Batch,
        regularise: Callable[[], Regularised],
    ) -> tuple[dict[str, Tensor], Discriminated | None]:
        """Add the gradients of one batch; its named losses and what the VAE's discriminator saw.

        The backbone works on latents that are cut off from the VAE, so that of its losses only what is
        handed over below can get there. One forward pass serves both: the gradient of L_REPA with
        respect to the latents is taken first, alone; then all of the backbone's losses go back to its
        weights; at last the VAE is pulled along that gradient, through the BatchNorm.

        Args:
            latents: (B, C, h, w) with the VAE's graph, before their normalisation.
            batch: noise, times, conditions and ``patches`` of the same images.
            regularise: L_REG as ``loss`` of named losses (`nanogen.stage1.losses.TokenizerLoss`).

        Names: ``loss`` and those beside it are L_REG's, ``velocity`` is L_DIFF, ``repa`` is L_REPA.
        """
        normalised = backbone.norm(latents)
        seen = normalised.detach().requires_grad_()
        predicted = self.objective.predicted(
            backbone.network, replace(batch, x=seen), backbone.conditioner
        )
        velocity, repa = self.objective.error(predicted), self.repa(predicted)
        (pull,) = torch.autograd.grad(repa, seen, retain_graph=True)
        (velocity + self.coefficient * repa).backward()
        own, judged = regularise()
        (own["loss"] + self.vae_coefficient * (normalised * pull).sum()).backward()
        return {**own, "velocity": velocity, "repa": repa}, judged


class LatentNorm(nn.Module):
    """The BatchNorm between a VAE that is still learning and the backbone that learns from its latents:
    ``(z - mean) / sqrt(var + 1e-4)`` per channel, without learned scale and shift.

    A frozen VAE's latents are normalised by moments taken once. Here the latents move at every step, so
    each batch is normalised by its own moments (Leng et al. 2025, arXiv 2504.10483, section 3), through
    which the gradient flows: the VAE gains nothing by a larger or smaller latent. The buffers ``mean``
    and ``var``, float32 (C,), follow the batches' moments.

    Args:
        momentum: share of the newest batch in them.
    """

    mean: Tensor
    var: Tensor

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
        latents = latents.float()
        own = torch.stack([latents.mean((0, 2, 3)), latents.square().mean((0, 2, 3))])
        mean, square = group.mean(own)
        self.mean.lerp_(mean, self.momentum)
        self.var.lerp_(square - mean.square(), self.momentum)
