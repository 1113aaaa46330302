"""The total loss of a tokenizer: weighted terms, and the adversarial loss if it has one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nanogen.stage1.adversarial import Adversary, Discriminated
from nanogen.stage1.terms import PLAIN, Reconstructed, Term
from nanogen.training.checkpoint import below, under
from nanogen.training.processes import Processes


class TokenizerLoss:
    """Reconstruction, KL, perceptual and adversarial losses of one batch.

    A call returns the tokenizer's losses. After their backward pass, `learn` trains the discriminator
    on the same batch.

    Args:
        weights: weights of the terms by name (``stage1.terms``); terms with weight 0 are not computed.
        frozen: terms that use a frozen network, by name: ``perceptual``.
        adversary: the adversary; None for a loss without one.
        starts: the number of steps before a term is used, by name; 0 for the others.
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
        """Return the tokenizer's losses at ``step`` (from 1) and the discriminator's input, if any.

        Args:
            draws: (B, 3, 10) uniform in [0, 1), for the augmentations (`Adversary.judge`).
            last: the weights of the decoder's last layer, at which gradients are compared.

        ``loss`` is the total on this process, with the autograd graph. The terms are returned by name
        without their weights; ``adversarial`` and ``adaptive_weight`` only once they are used.
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
        """Train the discriminator for one step; does nothing before its training begins.

        Returns ``discriminator`` (its loss), ``accuracy_real`` and ``accuracy_fake`` in [0, 1] on this
        process's share of the batch.
        """
        return self.adversary.learn(judged, step) if self.adversary and judged else {}

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of the discriminator's heads and optimizer, for a checkpoint."""
        return under("discriminator", self.adversary.learned.state()) if self.adversary else {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a checkpoint's tensors, which include what `state` returned."""
        if self.adversary:
            self.adversary.learned.load(below("discriminator", tensors))
