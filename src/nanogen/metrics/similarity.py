"""Similarity of pairs of images: PSNR and SSIM."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.errors import UserError

SMALLEST_ERROR = 1e-10  # of a mean square; equal images count as 100 dB, not as infinity
RADIUS = 5  # of SSIM's window, 11 x 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for images of range 1


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio in dB, at most 100, of pairs of images.

    Both arguments are (N, 3, H, W) in [0, 1]; returns float64 (N,).
    """
    squared = (images.double() - targets.double()).square().mean((1, 2, 3))
    return -10 * squared.clamp(min=SMALLEST_ERROR).log10()


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Compute the structural similarity (Wang et al. 2004, IEEE TIP 13) of pairs of images.

    Both arguments are (N, 3, H, W) in [0, 1]; returns float64 (N,) in [-1, 1], 1 for equal images.

    As in torchmetrics with a data range of 1: a Gaussian window of 11 x 11 with sigma 1.5 per channel,
    reflection at the borders, and the mean over all positions and channels. Computed in float64, because
    variances are differences of nearly equal numbers. Raises UserError for images of 5 pixels or less,
    which are too small for the reflection.
    """
    if min(images.shape[-2:]) <= RADIUS:
        raise UserError(
            f"images of {images.shape[-1]} x {images.shape[-2]} pixels are too small for SSIM, whose "
            f"window is {2 * RADIUS + 1} pixels wide: at least {RADIUS + 1} are needed"
        )
    x, y = images.double(), targets.double()
    mean_x, mean_y, xx, yy, xy = (_windowed(part) for part in (x, y, x * x, y * y, x * y))
    products = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    luminance = (2 * products + C1) / (squares + C1)
    structure = (2 * (xy - products) + C2) / (xx + yy - squares + C2)
    return (luminance * structure).mean((1, 2, 3))


def _windowed(values: Tensor) -> Tensor:
    """Return the Gaussian mean around every position of (N, C, H, W)."""
    places = torch.arange(-RADIUS, RADIUS + 1, dtype=values.dtype, device=values.device)
    weights = torch.exp(-places.square() / (2 * SIGMA**2))
    weights = (weights / weights.sum()).repeat(values.shape[1], 1, 1, 1)
    padded = F.pad(values, (RADIUS,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights, groups=values.shape[1])
    return F.conv2d(rows, weights.transpose(2, 3), groups=values.shape[1])
