"""Epochs of a tokenizer's training in steps: how long it is, and when the discriminator comes in."""

from __future__ import annotations

from dataclasses import dataclass

from nanogen.config.tokenizer_schema import Schedule, TokenizerTraining
from nanogen.training.schedule import cosine


def steps_in(epochs: float, images: int, batch_size: int) -> int:
    """How many steps are nearest to so many passes over the images."""
    return round(epochs * images / batch_size)


@dataclass(frozen=True)
class Phases:
    """The schedule of one training; steps are counted from 1.

    Attributes:
        steps: all of them, at least 1.
        disc_start, gan_start: steps before the discriminator is trained, before its loss is used;
            both are ``steps`` where there is none.
        perceptual_from: steps before the perceptual distance is used.
        images: in an epoch.
        keys: how the tokenizer is trained.
    """

    steps: int
    disc_start: int
    gan_start: int
    perceptual_from: int
    images: int
    keys: TokenizerTraining

    @classmethod
    def of(cls, keys: TokenizerTraining, images: int) -> Phases:
        """From how the tokenizer is trained and the number of training images."""

        def steps(epochs: float) -> int:
            return min(total, steps_in(epochs, images, keys.batch_size))

        total, adversarial = max(1, steps_in(keys.epochs, images, keys.batch_size)), keys.adversarial
        return cls(
            steps=total,
            disc_start=steps(adversarial.disc_start) if adversarial else total,
            gan_start=steps(adversarial.gan_start) if adversarial else total,
            perceptual_from=steps(keys.perceptual_from),
            images=images,
            keys=keys,
        )

    def rate(self, step: int) -> float:
        """The tokenizer's learning rate."""
        return self._rate(step, self.steps, self.keys.optimizer)

    def discriminator_rate(self, step: int) -> float:
        """The discriminator's, from where its training begins."""
        assert self.keys.adversarial is not None
        begun = self.disc_start
        return self._rate(step - begun, self.steps - begun, self.keys.adversarial)

    def _rate(self, step: int, steps: int, keys: Schedule) -> float:
        warmup = steps_in(keys.warmup_epochs, self.images, self.keys.batch_size)
        return cosine(step, steps, warmup, keys.learning_rate, keys.final_learning_rate)
