"""The Frechet distance between two Gaussians, and the moments that define them.

FID is this distance in the space of an Inception network (Heusel et al. 2017, arXiv 1706.08500);
FDr is computed in any network's space, and divided by the distance between ImageNet's training and
validation images.
"""

from __future__ import annotations

import numpy as np

from nanogen.errors import UserError


class Moments:
    """Mean and unbiased covariance of feature rows that arrive in batches, in float64.

    Partial results can be merged, up to rounding in the last digits (Chan, Golub and LeVeque 1979). Rows
    are collected and added ``BLOCK`` at a time, so the result does not depend on the sizes of batches.
    """

    BLOCK = 2048  # rows: each block costs two passes over a width x width matrix

    def __init__(self, width: int):
        self._taken = 0  # rows in mean and scatter
        self._mean = np.zeros(width)
        self._scatter = np.zeros((width, width))  # sum of outer products of deviations
        self._waiting: list[np.ndarray] = []

    @property
    def count(self) -> int:
        """The number of rows added so far."""
        return self._taken + sum(map(len, self._waiting))

    def add(self, features: np.ndarray) -> None:
        """Add rows (n, width); raises UserError if they are not finite or have another width."""
        if features.ndim != 2 or features.shape[1] != len(self._mean):
            raise UserError(
                f"features of shape {features.shape} do not fit moments of width {len(self._mean)}"
            )
        require_finite(features, "the features")
        waiting = self.count - self._taken
        for start in range(-waiting, len(features), self.BLOCK):
            # a copy, because a view would keep the larger array in memory
            self._waiting.append(features[max(start, 0) : start + self.BLOCK].copy())
            if start + self.BLOCK <= len(features):
                self._take()

    def _take(self) -> None:
        """Add the collected rows to mean and scatter."""
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting).astype(np.float64)
        self._waiting = []
        mean = rows.mean(0)
        rows -= mean
        self._merge(len(rows), mean, rows.T @ rows)

    def merge(self, other: Moments) -> None:
        """Add the rows of ``other``, for example from another process."""
        if other._mean.shape != self._mean.shape:
            raise UserError(
                f"moments of width {len(other._mean)} do not fit moments of width {len(self._mean)}"
            )
        for part in (self, other):
            part._take()
        self._merge(other._taken, other._mean, other._scatter)

    def _merge(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self._taken + count
        if not count:
            return
        shift = mean - self._mean
        self._scatter += scatter
        self._scatter += np.outer(shift, shift) * (self._taken * count / total)
        self._mean += shift * (count / total)
        self._taken = total

    @property
    def mean(self) -> np.ndarray:
        """The mean, float64 (width,); raises UserError if no row was added."""
        self._require(1)
        self._take()
        return self._mean.copy()

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, float64 (width, width); raises UserError for fewer than two rows."""
        self._require(2)
        self._take()
        return self._scatter / (self._taken - 1)

    def _require(self, count: int) -> None:
        if self.count < count:
            raise UserError(f"moments of {self.count} images: at least {count} are needed")


def moments_of(features: np.ndarray, batch: int = 4096) -> Moments:
    """Compute the moments of rows (n, d), in blocks so that float64 copies stay small."""
    moments = Moments(features.shape[1])
    for start in range(0, len(features), batch):
        moments.add(features[start : start + batch])
    return moments


def few_images(count: int, width: int) -> str:
    """Return a warning if there are no more images than features, else "".

    The rank of the covariance is then at most count - 1, and the distance is biased upwards. (Chong and
    Forsyth 2020, arXiv 1911.07023, analyse how this bias depends on the count.)
    """
    if count > width:
        return ""
    return (
        f"only {count} images for {width} features, so the covariance is singular and the distance too "
        f"large; compare it with sets of {count} images only, or take more than {width}"
    )


def require_finite(values: np.ndarray, what: str) -> None:
    """Raise UserError if ``values`` hold NaN or infinity."""
    if not np.isfinite(values).all():
        raise UserError(
            f"{what} are not finite (NaN or infinity): the network that made them, or the images "
            "it was given, are broken; make them again"
        )


def _factor(sigma: np.ndarray) -> np.ndarray:
    """Return L with L L^T = sigma, also for a singular sigma (fewer images than features)."""
    try:
        return np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(sigma)
        return vectors * np.sqrt(values.clip(min=0))


def frechet_distance(mu1: np.ndarray, sigma1: np.ndarray, mu2: np.ndarray, sigma2: np.ndarray) -> float:
    """Squared Frechet distance |mu1 - mu2|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)) of two Gaussians.

    Means (d,), covariances (d, d). tr sqrt(S1 S2) is the sum of the square roots of the eigenvalues
    of the symmetric L^T S2 L with S1 = L L^T, so no square root of a matrix is taken.
    Raises UserError if the widths differ or a value is not finite.
    """
    mu1, sigma1, mu2, sigma2 = (np.asarray(a, np.float64) for a in (mu1, sigma1, mu2, sigma2))
    width = len(mu1)
    for name, array, shape in (
        ("mu1", mu1, (width,)),
        ("sigma1", sigma1, (width, width)),
        ("mu2", mu2, (width,)),
        ("sigma2", sigma2, (width, width)),
    ):
        if array.shape != shape:
            raise UserError(
                f"moments do not fit together: {name} has shape {array.shape}, expected {shape}; "
                "both must come from the same extractor"
            )
        require_finite(array, f"the values of {name}")
    factor = _factor(sigma1)
    product = factor.T @ sigma2 @ factor
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    cross = np.sqrt(eigenvalues.clip(min=0)).sum()
    shift = mu1 - mu2
    return float(shift @ shift + np.trace(sigma1) + np.trace(sigma2) - 2 * cross)
