"""SimpleEval's score: how often an image agrees more with its prompt than with near misses of it.

The image is compared with the prompt's ``statement`` and with its ``foils``, texts that differ from it
in one word or phrase. It is right if it agrees strictly best with the statement. This module contains no
network: a weak scorer compares (`nanogen.metrics.weak_scorer` explains why it is weak), and this module
counts. The score comes with an interval, because a few hundred images distinguish methods only to some
degree. The interval is a bootstrap over prompts within each level (`nanogen.statistics.prompts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nanogen.errors import UserError
from nanogen.statistics import prompts as statistics

ROTATIONS = 32  # of images against prompts, for the chance level
Prompt = Mapping[str, Any]


class Choices:
    """The texts that the images of these prompts are compared with, each once.

    Attributes:
        texts: all statements and foils.
        of_prompt: for each prompt the indices of its statement (first) and its foils.
        levels: the level of each prompt.

    Raises UserError for a prompt without a statement or foils.
    """

    def __init__(self, prompts: Sequence[Prompt]):
        for prompt in prompts:
            if not prompt.get("statement") or not prompt.get("foils"):
                raise UserError(
                    f"the prompt {prompt.get('prompt')!r} has no statement or no foils to compare an "
                    "image with; make the prompts again"
                )
        said = [[prompt["statement"], *prompt["foils"]] for prompt in prompts]
        self.texts = sorted({text for texts in said for text in texts})
        index = {text: number for number, text in enumerate(self.texts)}
        self.of_prompt = [[index[text] for text in texts] for texts in said]
        self.levels = [str(prompt["tag"]) for prompt in prompts]

    def __len__(self) -> int:
        return len(self.of_prompt)

    def right(self, agreement: np.ndarray, of_image: Sequence[int]) -> np.ndarray:
        """Whether each image is right, bool (N,).

        Args:
            agreement: (N, texts), the agreement of every image with every text, on any increasing scale.
            of_image: the index of each image's prompt, (N,).
        """
        rows = [row[self.of_prompt[p]] for row, p in zip(agreement, of_image, strict=True)]
        return np.array([bool((row[0] > row[1:]).all()) for row in rows])

    def chance(self, agreement: np.ndarray, of_image: Sequence[int]) -> float:
        """Compute the chance level: the share of right images when judged by other images' prompts.

        This is the score of a model that ignores its prompts. It is nan for a single prompt.
        """
        total = len(self)
        shifts = {1 + k * (total - 1) // ROTATIONS for k in range(ROTATIONS)} if total > 1 else set()
        shares = [
            self.right(agreement, [(int(p) + k) % total for p in of_image]).mean()
            for k in sorted(shifts)
        ]
        return float(np.mean(shares)) if shares else float("nan")


def per_prompt(right: np.ndarray, of_image: Sequence[int], prompts: int) -> np.ndarray:
    """Return each prompt's share of right images, (prompts,); raises UserError if one has no images."""
    images = np.bincount(np.asarray(of_image), minlength=prompts)
    if not images.all():
        raise UserError(f"prompt {int(np.argmin(images))} has no image; make the samples again")
    return np.bincount(np.asarray(of_image), weights=right, minlength=prompts) / images


def interval(levels: Sequence[np.ndarray], *seed: str | int) -> tuple[float, float]:
    """Compute the interval of the mean over levels; each level contains its prompts' scores.

    ``seed`` seeds the resampling. Raises UserError for a level of one prompt, which cannot be resampled.
    """
    groups = [statistics.Group(level, np.ones(len(level))) for level in levels]
    found = statistics.interval(groups, *seed)
    if found is None:
        raise UserError(
            "an interval needs two prompts of every level; raise evaluation.simpleeval.prompts"
        )
    return found


def summarise(scores: np.ndarray, levels: Sequence[str], *seed: str | int) -> dict[str, float]:
    """Compute ``simpleeval``, the mean of the levels' means, and each mean as ``simpleeval_<level>``.

    Each of them comes with the ends of its interval, ``_low`` and ``_high``.

    Args:
        scores: each prompt's score in [0, 1], from `per_prompt`.
        levels: each prompt's level.
        seed: seed of the bootstrap.
    """
    names = list(dict.fromkeys(levels))
    groups = {name: scores[np.array(levels) == name] for name in names}
    values: dict[str, float] = {}
    parts = [("simpleeval", list(groups.values()))]
    for name, chosen in [*parts, *((f"simpleeval_{level}", [groups[level]]) for level in names)]:
        values[name] = float(np.mean([level.mean() for level in chosen]))
        values |= statistics.ends(name, interval(chosen, *seed, name))
    return values
