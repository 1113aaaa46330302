"""Compare the strength of a correlation over two sets of methods that may overlap."""

from __future__ import annotations

import numpy as np

from nanogen.statistics.bootstrap import FEWEST, expanded, samples
from nanogen.statistics.coefficients import pearson


def strength_difference(
    x: np.ndarray, y: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int
) -> tuple[float, tuple[float, float]] | None:
    """Compute |r| over the pairs ``first`` minus |r| over ``second``, and its 95 % interval.

    Both coefficients come from the same resamples, so methods in both sets do not widen the interval.

    Args:
        x, y: the pairs, (n,).
        first, second: bool (n,), true for the pairs in each set.
        seed: seed of the resampling.

    Returns:
        The difference and its interval, or None if a set has fewer than 8 pairs or is constant.
    """
    fewest = int(min(first.sum(), second.sum()))
    if fewest < FEWEST:
        return None

    def strength(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inside = counts[:, mask]
        found = np.full(len(counts), np.nan)
        some = inside.sum(1) > 0
        found[some] = np.abs(pearson(inside[some], x[mask], y[mask]))
        return found

    def difference(counts: np.ndarray) -> np.ndarray:
        return strength(counts, first) - strength(counts, second)

    (whole,) = difference(np.ones((1, len(x))))
    values = difference(samples(len(x), seed))
    values = values[np.isfinite(values)]
    if not np.isfinite(whole) or not len(values):
        return None
    low, high = np.quantile(values, expanded(fewest))
    return float(whole), (float(low), float(high))
