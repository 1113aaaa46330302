"""Epochs of a tokenizer's training in steps: how long it is, and when the discriminator comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        keys: ``stage1`` of the model's configuration.
    """

    steps: int
    disc_start: int
    gan_start: int
    perceptual_from: int
    images: int
    keys: Mapping[str, Any]

    @classmethod
    def of(cls, keys: Mapping[str, Any], images: int) -> Phases:
        """From ``stage1`` of a model's configuration and the number of training images."""

        def steps(epochs: float) -> int:
            return min(total, steps_in(epochs, images, keys["batch_size"]))

        total = max(1, steps_in(keys["epochs"], images, keys["batch_size"]))
        starts, adversarial = [total, total], keys["adversarial"]
        if adversarial:
            starts = [steps(adversarial[key]) for key in ("disc_start", "gan_start")]
        return cls(total, *starts, steps(keys["perceptual_from"]), images, keys)

    def rate(self, step: int) -> float:
        """The tokenizer's learning rate."""
        return self._rate(step, self.steps, self.keys["optimizer"])

    def discriminator_rate(self, step: int) -> float:
        """The discriminator's, from where its training begins."""
        begun = self.disc_start
        return self._rate(step - begun, self.steps - begun, self.keys["adversarial"])

    def _rate(self, step: int, steps: int, keys: Mapping[str, Any]) -> float:
        warmup = steps_in(keys["warmup_epochs"], self.images, self.keys["batch_size"])
        return cosine(step, steps, warmup, keys["learning_rate"], keys["final_learning_rate"])
