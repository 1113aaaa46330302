"""Bootstrap intervals of scores that are means over images of prompts.

Images of one prompt are similar, so prompts are resampled (Efron 1979), each with all of its images. A
score that is a mean over groups of prompts, such as GenEval's over its tags, is resampled within each
group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nanogen.identity import seed_for

CONFIDENCE = 0.95
RESAMPLES = 9999
METHOD = f"interval: {CONFIDENCE:.0%}, bootstrap over prompts"


class Group(NamedTuple):
    """The n prompts of a group.

    Attributes:
        total: the sum of the scores of each prompt's images, (n,).
        images: the number of each prompt's images, (n,).
    """

    total: np.ndarray
    images: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.total.sum() / self.images.sum())


def group(scores: np.ndarray, of_image: Sequence[int] | np.ndarray) -> Group:
    """Group the scores of images by prompt; prompts without images are left out.

    Args:
        scores: the score of each image, in [0, 1], (N,).
        of_image: the index of each image's prompt, int (N,).
    """
    _, place = np.unique(np.asarray(of_image), return_inverse=True)
    return Group(np.bincount(place, weights=np.asarray(scores, float)), np.bincount(place).astype(float))


def interval(groups: Sequence[Group], *seed: str | int) -> tuple[float, float] | None:
    """Compute the 95 % percentile interval of the mean of the groups' means.

    It is None if a group has only one prompt. If all images score 0, or all score 1, all resamples are
    equal. The interval is then Wilson's (J. Am. Stat. Assoc. 22, 1927) for as many images as there are
    prompts. ``seed`` seeds the resampling.
    """
    from scipy.stats import binomtest, bootstrap

    prompts = [len(of.total) for of in groups]
    if not prompts or min(prompts) < 2:
        return None
    mean = np.mean([of.mean for of in groups])
    if mean in (0, 1):
        found = binomtest(int(mean) * sum(prompts), sum(prompts)).proportion_ci(CONFIDENCE, "wilson")
        return float(found.low), float(found.high)

    def mean_of(*chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        pairs = zip(groups, chosen, strict=True)
        return np.mean([of.total[i].sum(axis) / of.images[i].sum(axis) for of, i in pairs], axis=0)

    found = bootstrap(
        tuple(np.arange(n) for n in prompts),
        mean_of,
        n_resamples=RESAMPLES,
        batch=1000,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed_for(*seed, "bootstrap")),
    ).confidence_interval
    return float(found.low), float(found.high)


def ends(name: str, found: tuple[float, float] | None) -> dict[str, float]:
    """Return the ends of a score's interval by their names in metric files, NAME_low and NAME_high."""
    return {} if found is None else {f"{name}_low": found[0], f"{name}_high": found[1]}
