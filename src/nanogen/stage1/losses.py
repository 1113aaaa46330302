"""The whole loss of a tokenizer: weighted terms, and the adversary where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nanogen.stage1.adversarial import Adversary, Discriminated
from nanogen.stage1.terms import PLAIN, Reconstructed, Term
from nanogen.training.checkpoint import below, under
from nanogen.training.processes import Processes


class TokenizerLoss:
    """Reconstruction + KL + perceptual + adversarial, of one batch at one step.

    Call it for the tokenizer's losses; after their backward pass, `learn` is the discriminator's step
    on the same batch.

    Args:
        weights: of the terms by name (``stage1.terms``); one that weighs 0 is not computed.
        frozen: terms that compare by a frozen network, by name: ``perceptual``.
        adversary: None for a loss without one.
        starts: steps before a term is used, by name; others are used from the first.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        frozen: Mapping[str, Term],
        adversary: Adversary | None,
        group: Processes,
        starts: Mapping[str, int] | None = None,
    ):
        terms, self.starts = {**PLAIN, **frozen}, dict(starts or {})
        self.terms = {name: (weight, terms[name]) for name, weight in weights.items() if weight}
        self.adversary, self.group = adversary, group

    def __call__(
        self, made: Reconstructed, step: int, draws: Tensor, last: Tensor
    ) -> tuple[dict[str, Tensor], Discriminated | None]:
        """The tokenizer's losses at ``step`` (from 1) and what the discriminator saw, if it did.

        Args:
            draws: (B, 3, 10) uniform in [0, 1), for the augmentations (`Adversary.judge`).
            last: the weights of the decoder's last layer, at which gradients are compared.

        ``loss`` carries the graph and is this process's; the terms stand beside it by name, before
        their weights, ``adversarial`` and ``adaptive_weight`` only from where they are used.
        """
        used = {name: term for name, term in self.terms.items() if step > self.starts.get(name, 0)}
        losses = {name: term(made) for name, (_, term) in used.items()}
        total = made.output.new_zeros(())
        for name, (weight, _) in used.items():
            total = total + weight * losses[name]
        judged = self.adversary.judge(made, draws, step) if self.adversary else None
        if self.adversary and judged and judged.fake:
            added = self.adversary.losses(judged.fake, total, last)
            total = total + added["adaptive_weight"] * added["adversarial"]
            losses |= added
        return {"loss": total, **losses}, judged

    def learn(self, judged: Discriminated | None, step: int) -> dict[str, Tensor]:
        """The discriminator's step: ``discriminator`` (its loss), ``accuracy_real`` and
        ``accuracy_fake`` in [0, 1], all of this process's share; nothing before it is trained."""
        return self.adversary.learn(judged, step) if self.adversary and judged else {}

    def state(self) -> dict[str, Tensor]:
        """The discriminator's heads and optimizer by name, for a checkpoint."""
        return under("discriminator", self.adversary.learned.state()) if self.adversary else {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint's tensors, which hold what `state` gave."""
        if self.adversary:
            self.adversary.learned.load(below("discriminator", tensors))
