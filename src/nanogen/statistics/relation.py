"""All statistics of the correlation of two columns over some methods."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nanogen.identity import seed_for
from nanogen.statistics.bootstrap import interval, permutation_p, samples
from nanogen.statistics.coefficients import COEFFICIENTS, ENOUGH, pearson

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Estimate:
    """A coefficient in [-1, 1], its p-value for the hypothesis of no correlation, and its 95 % interval.

    The interval is None for fewer than 8 pairs.
    """

    value: float
    p: float
    interval: Interval


@dataclass(frozen=True)
class Influence:
    """Pearson's r without one method, and the shift that leaving it out causes."""

    name: str
    without: float
    shift: float


@dataclass(frozen=True)
class Relation:
    """The coefficients of n pairs.

    Attributes:
        permutation_p: p-value of Pearson's r that assumes no distribution.
        influences: one for each method, in the given order; empty for fewer than four pairs.
    """

    n: int
    pearson: Estimate
    spearman: Estimate
    kendall: Estimate
    permutation_p: float
    influences: tuple[Influence, ...]

    @property
    def range(self) -> Interval:
        """The smallest and largest r when one method is left out."""
        found = [i.without for i in self.influences if math.isfinite(i.without)]
        return (min(found), max(found)) if found else None

    @property
    def most_influential(self) -> Influence | None:
        found = [i for i in self.influences if math.isfinite(i.shift)]
        return max(found, key=lambda i: abs(i.shift), default=None)


def _by_scipy(x: np.ndarray, y: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return coefficient and p-value by name; both are nan if a series is constant."""
    from scipy.stats import kendalltau, pearsonr, spearmanr

    functions = {"pearson": pearsonr, "spearman": spearmanr, "kendall": kendalltau}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about constant series, which give nan
        found = {name: function(x, y) for name, function in functions.items()}
    return {name: (float(f.statistic), float(f.pvalue)) for name, f in found.items()}


def influences(names: Sequence[str], x: np.ndarray, y: np.ndarray) -> tuple[Influence, ...]:
    """Compute r without each pair (leave one out); empty for fewer than four pairs."""
    n = len(x)
    if n <= ENOUGH:
        return ()
    (whole,) = pearson(np.ones((1, n)), x, y)
    without = pearson(1 - np.eye(n), x, y)
    return tuple(
        Influence(name, float(r), float(r - whole)) for name, r in zip(names, without, strict=True)
    )


def relate(names: Sequence[str], x: Sequence[float], y: Sequence[float], what: str) -> Relation | None:
    """Compute the statistics of two columns over some methods; None for fewer than three.

    Args:
        names: the n methods.
        x, y: the columns, n values each.
        what: a description of the columns and methods. It seeds the resampling, so that one row of a
            table does not depend on the others.
    """
    if len(names) < ENOUGH:
        return None
    a, b = np.asarray(x, float), np.asarray(y, float)
    counts = samples(len(a), seed_for("bootstrap", what))
    estimates = {
        name: Estimate(value, p, interval(COEFFICIENTS[name], a, b, counts))
        for name, (value, p) in _by_scipy(a, b).items()
    }
    return Relation(
        n=len(a),
        **estimates,
        permutation_p=permutation_p(a, b, seed_for("permutation", what)),
        influences=influences(names, a, b),
    )
