"""Pearson's r, Spearman's rho and Kendall's tau-b, of a sample and of many weighted samples at once.

A bootstrap sample draws some pairs several times and others never, so it is a vector of counts. Each
coefficient of B samples is then a few products of a (B, n) matrix of counts, whatever B is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ENOUGH = 3  # fewer pairs always lie on a line
Coefficient = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _ratio(above: np.ndarray, squared_below: np.ndarray) -> np.ndarray:
    """above / sqrt(squared_below), nan where a series is constant but for rounding."""
    fine = squared_below > 1e-24
    return np.where(fine, above / np.sqrt(np.where(fine, squared_below, 1)), np.nan)


def standard(values: np.ndarray) -> np.ndarray:
    """Moved to mean 0 and scaled to variance 1, which changes no coefficient and keeps sums exact."""
    centred = values - values.mean()
    return centred / (centred.std() or 1)


def _weighted_pearson(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x and y (n,) or (B, n), weights (B, n)."""
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    total = total[:, 0]
    covariance, of_x, of_y = ((weights * v).sum(1) / total for v in (x * y, x * x, y * y))
    return _ratio(covariance, of_x * of_y)


def pearson(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of the pairs (x, y), each (n,), under every row of ``weights`` (B, n): (B,)."""
    return _weighted_pearson(weights, standard(x), standard(y))


def spearman(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rho, Pearson's r of the mean ranks; as ``pearson``."""

    def ranks(values: np.ndarray) -> np.ndarray:
        below = (values[:, None] < values[None]) + 0.5 * (values[:, None] == values[None])
        return weights @ below / weights.sum(1, keepdims=True)

    return _weighted_pearson(weights, ranks(x), ranks(y))


def kendall(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b; as ``pearson``. Copies of one pair are ties."""
    sign_x, sign_y = (np.sign(v[:, None] - v[None]) for v in (x, y))

    def pairs(matrix: np.ndarray) -> np.ndarray:
        return (weights @ matrix * weights).sum(1)

    return _ratio(pairs(sign_x * sign_y), pairs(sign_x**2) * pairs(sign_y**2))


COEFFICIENTS: dict[str, Coefficient] = {"pearson": pearson, "spearman": spearman, "kendall": kendall}
