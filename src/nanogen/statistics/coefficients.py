"""Pearson's r, Spearman's rho and Kendall's tau-b, computed for many weighted samples at once.

A bootstrap sample contains some pairs several times and others never, so it is a vector of counts. The
coefficients of B samples are then computed by a few products with a (B, n) matrix of counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ENOUGH = 3  # pairs; fewer are always on a line
Coefficient = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _ratio(above: np.ndarray, squared_below: np.ndarray) -> np.ndarray:
    """Return above / sqrt(squared_below), nan where a series is constant up to rounding."""
    fine = squared_below > 1e-24
    return np.where(fine, above / np.sqrt(np.where(fine, squared_below, 1)), np.nan)


def standard(values: np.ndarray) -> np.ndarray:
    """Standardise values to mean 0 and variance 1, which changes no coefficient and keeps sums exact."""
    centred = values - values.mean()
    return centred / (centred.std() or 1)


def _weighted_pearson(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (B,) for x and y, (n,) or (B, n), and weights (B, n)."""
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    total = total[:, 0]
    covariance, of_x, of_y = ((weights * v).sum(1) / total for v in (x * y, x * x, y * y))
    return _ratio(covariance, of_x * of_y)


def pearson(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute Pearson's r of the pairs (x, y), each (n,), for every row of ``weights`` (B, n): (B,)."""
    return _weighted_pearson(weights, standard(x), standard(y))


def spearman(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute Spearman's rho, which is Pearson's r of the mean ranks; see `pearson`."""

    def ranks(values: np.ndarray) -> np.ndarray:
        below = (values[:, None] < values[None]) + 0.5 * (values[:, None] == values[None])
        return weights @ below / weights.sum(1, keepdims=True)

    return _weighted_pearson(weights, ranks(x), ranks(y))


def kendall(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute Kendall's tau-b; see `pearson`. Copies of one pair are ties."""
    sign_x, sign_y = (np.sign(v[:, None] - v[None]) for v in (x, y))

    def pairs(matrix: np.ndarray) -> np.ndarray:
        return (weights @ matrix * weights).sum(1)

    return _ratio(pairs(sign_x * sign_y), pairs(sign_x**2) * pairs(sign_y**2))


COEFFICIENTS: dict[str, Coefficient] = {"pearson": pearson, "spearman": spearman, "kendall": kendall}
