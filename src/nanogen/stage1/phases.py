"""Convert the phases of a tokenizer's training, such as the discriminator's start, to steps."""

from __future__ import annotations

from dataclasses import dataclass

from nanogen.config.tokenizer_schema import Schedule, TokenizerTraining
from nanogen.training.schedule import cosine


def steps_in(epochs: float, images: int, batch_size: int) -> int:
    """Return the number of steps nearest to ``epochs`` passes over the images."""
    return round(epochs * images / batch_size)


@dataclass(frozen=True)
class Phases:
    """The schedule of one training; steps are counted from 1.

    Attributes:
        steps: the number of steps, at least 1.
        disc_start: the number of steps before the discriminator is trained; ``steps`` without one.
        gan_start: the number of steps before its loss is used; ``steps`` without a discriminator.
        perceptual_from: the number of steps before the perceptual distance is used.
        images: the number of images in an epoch.
        keys: the configuration of the training.
    """

    steps: int
    disc_start: int
    gan_start: int
    perceptual_from: int
    images: int
    keys: TokenizerTraining

    @classmethod
    def of(cls, keys: TokenizerTraining, images: int) -> Phases:
        """Return the phases for a configuration and a number of training images."""

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
        """Return the tokenizer's learning rate."""
        return self._rate(step, self.steps, self.keys.optimizer)

    def discriminator_rate(self, step: int) -> float:
        """Return the discriminator's learning rate, whose schedule begins with its training."""
        assert self.keys.adversarial is not None
        begun = self.disc_start
        return self._rate(step - begun, self.steps - begun, self.keys.adversarial)

    def _rate(self, step: int, steps: int, keys: Schedule) -> float:
        warmup = steps_in(keys.warmup_epochs, self.images, self.keys.batch_size)
        return cosine(step, steps, warmup, keys.learning_rate, keys.final_learning_rate)
