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
        warmup: of the linear rise of the learning rate, of the discriminator's from where it begins.
        trained_from, used_from: steps before the discriminator is trained, before its loss is used;
            both are ``steps`` where there is none.
        keys: ``stage1`` of the model's configuration.
    """

    steps: int
    warmup: int
    trained_from: int
    used_from: int
    keys: Mapping[str, Any]

    @classmethod
    def of(cls, keys: Mapping[str, Any], images: int) -> Phases:
        """From ``stage1`` of a model's configuration and the number of training images."""

        def steps(epochs: float) -> int:
            return steps_in(epochs, images, keys["batch_size"])

        total, adversarial = max(1, steps(keys["epochs"])), keys["adversarial"]
        starts = [total, total]
        if adversarial:
            starts = [min(total, steps(adversarial[key])) for key in ("trained_from", "used_from")]
        return cls(total, steps(keys["optimizer"]["warmup_epochs"]), *starts, keys)

    def rate(self, step: int) -> float:
        """The tokenizer's learning rate."""
        keys = self.keys["optimizer"]
        return cosine(step, self.steps, self.warmup, keys["learning_rate"], keys["final_learning_rate"])

    def discriminator_rate(self, step: int) -> float:
        """The discriminator's: the same shape, from where its training begins."""
        keys, begun = self.keys["adversarial"], self.trained_from
        return cosine(
            step - begun,
            self.steps - begun,
            self.warmup,
            keys["learning_rate"],
            keys["final_learning_rate"],
        )
