"""Precision and recall of generated images (Kynkaanniemi et al. 2019, arXiv 1904.06991).

A set of features is represented by the union of balls around its points, whose radii are the distances
to the points' k-th nearest neighbours. Precision is the share of generated images inside the union of
the real ones, recall the share of real images inside the union of the generated ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nanogen.errors import UserError
from nanogen.metrics.frechet import require_finite

TILE = 512  # rows of either side whose distances are held at once: 2 MiB of float64
ROUNDING = 1e-12  # squared distances below this share of the squared lengths are 0


def precision_recall(
    features_real: np.ndarray, features_generated: np.ndarray, k: int = 3
) -> tuple[float, float]:
    """Compute (precision, recall), both in [0, 1], of features (n, d) and (m, d).

    Distances are computed in tiles and in float64, so memory does not grow with n times m, and decisions
    do not depend on the order or the size of tiles. A point on a ball's surface counts as inside. Both
    numbers depend on n and m, so compare sets of equal size. Raises UserError if the widths differ, a
    set has no k-th neighbour or a value is not finite.
    """
    real, generated = features_real, features_generated
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise UserError(
            f"features of shapes {real.shape} and {generated.shape} cannot be compared: "
            "both must come from the same extractor"
        )
    if k < 1 or min(len(real), len(generated)) <= k:
        raise UserError(
            f"precision and recall with k = {k} need k of at least 1 and more than k images on both "
            f"sides; there are {len(real)} real and {len(generated)} generated images"
        )
    require_finite(real, "the reference features")
    require_finite(generated, "the features")
    # centring keeps squared lengths small, so that their differences lose less precision
    centre = real.mean(0, dtype=np.float64)
    return _share_inside(generated, real, k, centre), _share_inside(real, generated, k, centre)


def _tiles(
    a: np.ndarray, b: np.ndarray, centre: np.ndarray
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield (rows of a, rows of b, squared distances between them) for all pairs."""
    for i in range(0, len(a), TILE):
        rows = slice(i, min(i + TILE, len(a)))
        x = a[rows] - centre
        for j in range(0, len(b), TILE):
            columns = slice(j, min(j + TILE, len(b)))
            y = b[columns] - centre
            lengths = np.add.outer(np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y))
            distances = lengths - 2 * (x @ y.T)
            distances[distances < ROUNDING * lengths] = 0  # equal images, whatever the rounding
            yield rows, columns, distances


def _radii(centres: np.ndarray, k: int, origin: np.ndarray) -> np.ndarray:
    """Return the squared distance of every point to its k-th nearest other point, (n,)."""
    nearest = np.full((len(centres), k), np.inf)
    for rows, columns, distances in _tiles(centres, centres, origin):
        if rows == columns:
            np.fill_diagonal(distances, np.inf)
        candidates = np.concatenate([nearest[rows], distances], 1)
        nearest[rows] = np.partition(candidates, k - 1, axis=1)[:, :k]
    return nearest.max(1)


def _share_inside(points: np.ndarray, centres: np.ndarray, k: int, origin: np.ndarray) -> float:
    """Return the fraction of ``points`` inside at least one of the balls around ``centres``."""
    radii = _radii(centres, k, origin)
    inside = np.zeros(len(points), bool)
    for rows, columns, distances in _tiles(points, centres, origin):
        inside[rows] |= (distances <= radii[columns]).any(1)
    return float(inside.mean())
