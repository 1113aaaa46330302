"""The adversarial loss: hinge for the discriminator and -logit for the tokenizer.

An adaptive weight balances it with the reconstruction (Esser et al. 2021, arXiv 2012.09841, equation 7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.tokenizer_schema import Adversarial
from nanogen.stage1.augmentation import AGAIN, FAKE, REAL, augmented
from nanogen.stage1.discriminator import GridHeads, Heads, LayerFeatures
from nanogen.stage1.phases import Phases
from nanogen.stage1.terms import Reconstructed
from nanogen.training.checkpoint import Learned
from nanogen.training.optimizer import adamw
from nanogen.training.processes import Processes
from nanogen.training.sharding import parallel

TINY = 1e-6  # avoids a division by a vanishing gradient; ``largest`` bounds the quotient


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss for logits of real and of reconstructed images, a scalar."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last: Tensor, largest: float, group: Processes
) -> Tensor:
    """Return |grad reconstruction| / |grad adversarial| at the weights ``last``, at most ``largest``.

    Both gradients are those of the global batch, so the weight is the same on any number of processes.
    """
    own = [
        torch.autograd.grad(loss, last, retain_graph=True)[0] for loss in (reconstruction, adversarial)
    ]
    first, second = (gradient.norm() for gradient in group.mean(torch.stack(own)))
    return (first / (second + TINY)).clamp(max=largest)


@contextmanager
def frozen(module: nn.Module, *, still: bool) -> Iterator[None]:
    """Compute no gradients of the module's weights; if ``still``, set evaluation mode as well."""
    module.requires_grad_(False).train(not still)
    try:
        yield
    finally:
        module.requires_grad_(True).train()


@dataclass(frozen=True)
class Discriminated:
    """A batch for the discriminator.

    Attributes:
        made: the originals and reconstructions.
        draws: the draws of the augmentations, as `Adversary.judge` takes them.
        fake: frozen features of the reconstruction, per layer (B, width, rows, rows), with the graph;
            None if the tokenizer does not learn from them yet.
    """

    made: Reconstructed
    draws: Tensor
    fake: list[Tensor] | None


class Adversary(ABC):
    """A discriminator with its optimizer, which learns to distinguish reconstructions from originals.

    Args:
        keys: ``stage1.adversarial`` of a model's configuration.
        phases: when it is trained and used, and its learning rate.
        features: the frozen features, on the group's device.
        heads: heads of the class ``heads_class``.
    """

    heads_class: type[Heads]
    still: bool  # whether spectral norms stay fixed while the tokenizer learns

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
        optimizer = adamw(self.heads, keys.betas, weight_decay=0.0, eps=keys.eps)
        self.learned = Learned(self.heads, optimizer)

    def judge(self, made: Reconstructed, draws: Tensor, step: int) -> Discriminated | None:
        """Return the discriminator's input at ``step`` (from 1); None before it is trained.

        Args:
            draws: (B, 3, 10) uniform in [0, 1), for augmenting the originals, the reconstructions, and
                the reconstructions for the discriminator only.
        """
        if step <= self.phases.disc_start:
            return None
        used = step > self.phases.gan_start
        return Discriminated(made, draws, self.seen(made.output, draws[:, FAKE]) if used else None)

    def seen(self, images: Tensor, draws: Tensor) -> list[Tensor]:
        """Return frozen features of augmented images (B, 3, H, W) in about [-1, 1]."""
        return self.features(augmented(images, draws, self.keys.augmentation))

    def losses(self, fake: Sequence[Tensor], reconstruction: Tensor, last: Tensor) -> dict[str, Tensor]:
        """Return the tokenizer's losses: ``adversarial``, with the graph, and ``adaptive_weight``.

        The weight includes the constant ``weight`` of the configuration. The heads get no gradient.

        Args:
            fake: features of the reconstruction, `Discriminated.fake`.
        """
        with frozen(self.heads, still=self.still):
            (logits,) = self.heads(fake)
        loss = -logits.mean()
        largest = self.keys.max_weight
        weight = adaptive_weight(reconstruction, loss, last, largest, self.group)
        return {"adversarial": loss, "adaptive_weight": self.keys.weight * weight}

    def learn(self, judged: Discriminated, step: int) -> dict[str, Tensor]:
        """Train the discriminator for one step.

        Returns its loss and accuracies in [0, 1] on this process's share of the batch.
        """
        real, made = self.logits(judged)
        loss = hinge(real, made)
        rate = self.phases.discriminator_rate(step)
        for parameters in self.learned.optimizer.param_groups:
            parameters["lr"] = rate
        self.learned.optimizer.zero_grad()
        loss.backward()
        self.learned.optimizer.step()
        return {
            "discriminator": loss,
            "accuracy_real": (real > 0).to(loss.dtype).mean(),
            "accuracy_fake": (made < 0).to(loss.dtype).mean(),
        }

    @abstractmethod
    def logits(self, judged: Discriminated) -> tuple[Tensor, Tensor]:
        """Return the logits (B, all cells) of originals and reconstructions, for training the heads."""


class DecoderAdversary(Adversary):
    """The adversary of an RAE's decoder.

    It learns from images that the decoder reconstructs after its own step (`Reconstructed.again`) and
    from the originals, in separate passes.
    """

    heads_class = Heads
    still = True

    def logits(self, judged: Discriminated) -> tuple[Tensor, Tensor]:
        made, draws = judged.made, judged.draws
        assert made.again is not None
        with torch.no_grad():
            again = self.seen(made.again(), draws[:, AGAIN])
            target = self.seen(made.target, draws[:, REAL])
        fake, real = self.wrapped(again, target)
        return real, fake


class VAEAdversary(Adversary):
    """The adversary of a VAE, with heads on the grid.

    It learns from the same reconstructions as the VAE, as usual (Esser et al. 2021).
    """

    heads_class = GridHeads
    still = False

    def logits(self, judged: Discriminated) -> tuple[Tensor, Tensor]:
        made, draws = judged.made, judged.draws
        with torch.no_grad():
            target = self.seen(made.target, draws[:, REAL])
            fake = judged.fake or self.seen(made.output, draws[:, FAKE])
        real, fake = self.wrapped(target, [features.detach() for features in fake])
        return real, fake
