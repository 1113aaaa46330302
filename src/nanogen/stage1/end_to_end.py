"""End-to-end tuning of a VAE (REPA-E; Leng et al. 2025, arXiv 2504.10483, section 3): one joint step.

VAE, BatchNorm and backbone learn together from

    L(backbone, VAE) = L_DIFF(backbone) + lambda L_REPA(backbone, VAE) + L_REG(VAE).

L_DIFF, the flow-matching loss, never reaches the VAE: latents without information are the easiest to
denoise, so the VAE would lose what it encodes. Only L_REPA reaches it through the backbone; it requires
that the features of a frozen encoder can be predicted from noisy latents. L_REG are the VAE's own
losses. lambda is 0.5 for the backbone and 1.5 for the VAE.
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
    """The backbone under training and the norm of its latents."""

    norm: LatentNorm
    network: nn.Module  # as wrapped for all processes
    conditioner: Conditioning


@dataclass(frozen=True)
class JointLoss:
    """The losses of a joint step, and the parameters that each gradient reaches.

    Attributes:
        objective: flow matching of the backbone.
        repa: distance between features of a backbone's block and the encoder's patch features.
        coefficient, vae_coefficient: lambda, for the backbone and for the VAE.
    """

    objective: FlowMatching
    repa: Repa
    coefficient: float
    vae_coefficient: float

    @classmethod
    def of(cls, keys: EndToEnd, joint: BackboneStage) -> JointLoss:
        """Return the losses of a model's ``end_to_end`` for the backbone that it is tuned with."""
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
        """Add the gradients of one batch; return its losses and the input of the VAE's discriminator.

        The backbone sees detached latents, so its losses reach the VAE only as described here. One
        forward pass serves both. First, the gradient of L_REPA with respect to the latents is computed.
        Then all losses of the backbone are propagated to its weights. Finally, the gradient of L_REPA
        is propagated to the VAE through the BatchNorm.

        Args:
            latents: (B, C, h, w) with the VAE's graph, before their normalisation.
            batch: noise, times, conditions and ``patches`` of the same images.
            regularise: L_REG as ``loss`` of named losses (`nanogen.stage1.losses.TokenizerLoss`).

        Returns:
            Named losses, and what the discriminator saw. ``velocity`` is L_DIFF, ``repa`` is L_REPA;
            ``loss`` and the others belong to L_REG.
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
    """BatchNorm between a VAE under training and the backbone that learns from its latents.

    It is ``(z - mean) / sqrt(var + 1e-4)`` per channel, without learned scale and shift. Latents of a
    frozen VAE are normalised with fixed moments. Here the latents change at every step, so each batch is
    normalised with its own moments (Leng et al. 2025, arXiv 2504.10483, section 3). The gradient flows
    through them, so the VAE cannot lower the loss by scaling its latents. The buffers ``mean`` and
    ``var``, float32 (C,), are running moments.

    Args:
        channels: the number of channels C.
        momentum: weight of the newest batch in the running moments.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, momentum: float):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, latents: Tensor) -> Tensor:
        """Normalise latents (N, C, h, w) with the moments of this process's batch, in float32."""
        latents = latents.float()
        var, mean = torch.var_mean(latents, (0, 2, 3), correction=0)
        return (latents - mean.view(1, -1, 1, 1)) / (var + EPSILON).sqrt().view(1, -1, 1, 1)

    @torch.no_grad()
    def follow(self, latents: Tensor, group: Processes) -> None:
        """Update the running moments with a global batch; ``latents`` are this process's share."""
        latents = latents.float()
        own = torch.stack([latents.mean((0, 2, 3)), latents.square().mean((0, 2, 3))])
        mean, square = group.mean(own)
        self.mean.lerp_(mean, self.momentum)
        self.var.lerp_(square - mean.square(), self.momentum)
