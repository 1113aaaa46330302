"""The adversarial loss: hinge for the discriminator, -logit for the tokenizer, and the weight that
balances it with the reconstruction (Esser et al. 2021, arXiv 2012.09841, equation 7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.tokenizer_schema import Adversarial
from nanogen.stage1.augmentation import augmented
from nanogen.stage1.discriminator import Heads, LayerFeatures
from nanogen.stage1.phases import Phases
from nanogen.stage1.terms import Reconstructed
from nanogen.training.checkpoint import Learned
from nanogen.training.optimizer import adamw
from nanogen.training.processes import Processes
from nanogen.training.sharding import parallel

TINY = 1e-6  # keeps a vanishing gradient from dividing by zero; the cap bounds what comes of it


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss of logits on real and on reconstructed images, a scalar."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last: Tensor, largest: float, group: Processes
) -> Tensor:
    """|grad reconstruction| / |grad adversarial| at the weights ``last``, at most ``largest``.

    Both gradients are those of the global batch, so that the weight is the same on any number of
    processes.
    """
    norms = [
        group.mean(torch.autograd.grad(loss, last, retain_graph=True)[0].float()).norm()
        for loss in (reconstruction, adversarial)
    ]
    return (norms[0] / (norms[1] + TINY)).clamp(max=largest)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, what is computed by the module leaves no gradient at its weights."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


@dataclass(frozen=True)
class Discriminated:
    """Frozen features of a batch and of its reconstruction, each per layer (B, width, rows, rows);
    ``used``: the reconstruction's carry a gradient and the tokenizer is to learn from it."""

    real: list[Tensor]
    fake: list[Tensor]
    used: bool


class Adversary:
    """A discriminator with its optimizer: it judges reconstructions and learns to tell them apart.

    Args:
        keys: ``stage1.adversarial`` of a model's configuration.
        phases: when it is trained and used, and its learning rate.
        features: frozen, on the group's device.
        heads: the same weights on every process.
    """

    def __init__(
        self,
        keys: Adversarial,
        phases: Phases,
        features: LayerFeatures,
        heads: Heads,
        group: Processes,
    ):
        self.keys, self.phases, self.group = keys, phases, group
        self.features, self.heads = features, heads.to(group.device)
        self.wrapped = parallel(self.heads, group)
        self.learned = Learned(self.heads, adamw(self.heads, keys.betas, weight_decay=0.0))

    def judge(self, made: Reconstructed, draws: Tensor, step: int) -> Discriminated | None:
        """What the discriminator sees at ``step`` (from 1); None before it is trained.

        Args:
            draws: (B, 2, 7) uniform in [0, 1): how originals and reconstructions are augmented.
        """
        if step <= self.phases.disc_start:
            return None
        used = step > self.phases.gan_start
        with torch.no_grad():
            real = self.features(augmented(made.target, draws[:, 0], self.keys.augmentation))
        with torch.set_grad_enabled(used):
            fake = self.features(augmented(made.output, draws[:, 1], self.keys.augmentation))
        return Discriminated(real, fake, used)

    def losses(self, judged: Discriminated, reconstruction: Tensor, last: Tensor) -> dict[str, Tensor]:
        """``adversarial`` of the tokenizer, with the graph, and ``adaptive_weight``, without.

        The weight holds the constant ``weight`` of the configuration. The heads get no gradient.
        """
        with frozen(self.heads):
            loss = -self.heads(judged.fake).mean()
        largest = self.keys.max_weight
        weight = adaptive_weight(reconstruction, loss, last, largest, self.group)
        return {"adversarial": loss, "adaptive_weight": self.keys.weight * weight}

    def learn(self, judged: Discriminated, step: int) -> dict[str, Tensor]:
        """One step of the discriminator; its loss and accuracies in [0, 1], of the global batch."""
        fake = [features.detach() for features in judged.fake]
        pairs = [torch.cat(pair) for pair in zip(judged.real, fake, strict=True)]
        real, made = self.wrapped(pairs).chunk(2)
        loss = hinge(real, made)
        rate = self.phases.discriminator_rate(step)
        for parameters in self.learned.optimizer.param_groups:
            parameters["lr"] = rate
        self.learned.optimizer.zero_grad()
        loss.backward()
        self.learned.optimizer.step()
        return {
            "discriminator": self.group.mean(loss),
            "accuracy_real": self.group.mean((real > 0).float().mean()),
            "accuracy_fake": self.group.mean((made < 0).float().mean()),
        }
