"""Published moments of real images: NPZ files with a mean and a covariance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nanogen.errors import UserError
from nanogen.files import damage


@dataclass(frozen=True)
class PublishedMoments:
    """``mean`` (d,) and ``covariance`` (d, d), float64."""

    mean: np.ndarray
    covariance: np.ndarray


def published_moments(folder: Path, name: str, width: int) -> PublishedMoments:
    """Read the moments of ``width`` features from ``folder/name.npz``.

    Raises UserError if the file is missing, unreadable or of another width.
    """
    path = folder / f"{name}.npz"
    if not path.exists():
        raise UserError(
            f"{path} does not exist: it holds the published moments that the configuration names; "
            "put it there, or set the model's 'statistics' to null to use the training images"
        )
    return read_moments(path, width)


def read_moments(path: Path, width: int | None = None, spatial: bool = False) -> PublishedMoments:
    """Read ``mu`` and ``sigma``, or ``ref_mu`` and ``ref_sigma``, from an NPZ file.

    Args:
        width: the expected number of features.
        spatial: read the moments of spatial features, ``mu_s`` and ``sigma_s`` in ADM's reference files.

    Raises UserError if the file is unreadable, has no such arrays or is of another width.
    """
    suffix = "_s" if spatial else ""
    try:
        with np.load(path, allow_pickle=False) as file:
            prefix = "ref_" if f"ref_mu{suffix}" in file else ""
            mu, sigma = (file[f"{prefix}{key}{suffix}"].astype(np.float64) for key in ("mu", "sigma"))
    except Exception as error:  # zipfile, zlib and NumPy's parser raise errors of many types
        reason = damage(error, path)
        raise UserError(f"{path} does not hold mu{suffix} and sigma{suffix}: {reason}") from error
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
        raise UserError(
            f"{path}: mu{suffix} has shape {mu.shape} and sigma{suffix} {sigma.shape}, "
            "expected (d,) and (d, d)"
        )
    if width is not None and len(mu) != width:
        raise UserError(f"{path}: moments of width {len(mu)}, but the extractor gives {width} features")
    return PublishedMoments(mu, sigma)
