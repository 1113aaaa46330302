"""Bootstrap intervals and permutation tests of correlation coefficients.

The interval is the expanded percentile interval (Hesterberg, "What Teachers Should Know About the
Bootstrap", The American Statistician 69, 2015, section 4.2). For few pairs the plain percentile interval
is too short; the expanded one takes quantiles further out, as Student's t is wider than the normal
distribution. `python bench/intervals.py` compares its coverage with those of the percentile and the BCa
interval.
"""

from __future__ import annotations

import math

import numpy as np

from nanogen.statistics.coefficients import Coefficient, standard

RESAMPLES = 9999
LEVEL = 0.95
FEWEST = 8  # pairs; with fewer, resamples of one or two distinct pairs widen the interval to [-1, 1]


def expanded(n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the two quantiles, in [0, 1], that bound the expanded interval of n pairs."""
    from scipy.special import ndtr, stdtrit

    low = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))
    return low, 1 - low


def samples(n: int, seed: int) -> np.ndarray:
    """Draw bootstrap samples as counts: how often each sample contains each pair, (RESAMPLES, n)."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return counts.astype(float)


def interval(
    coefficient: Coefficient, x: np.ndarray, y: np.ndarray, counts: np.ndarray
) -> tuple[float, float] | None:
    """Compute the 95 % interval of a coefficient of x and y (n,) from the samples ``counts``.

    Constant samples have no coefficient and are left out. The result is None for fewer than 8 pairs, or
    if every sample is constant.
    """
    values = coefficient(counts, x, y) if len(x) >= FEWEST else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, expanded(len(x)))
    return float(low), float(high)


def permutation_p(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Compute the two-sided p-value of Pearson's r of x and y (n,) by a permutation test.

    It is the fraction of random pairings whose r is at least as far from 0. If there are at most
    ``RESAMPLES`` pairings, all of them are used. It is nan for a constant series.
    """
    from scipy.stats import permutation_test

    x, y = standard(x), standard(y)
    if not (x.any() and y.any()):
        return math.nan
    found = permutation_test(
        (x,),
        lambda shuffled, axis: np.abs((shuffled * y).mean(axis)),  # |r|, as both are standardised
        permutation_type="pairings",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
