"""What the small autoencoders learn from: pixels, edges, and a frozen encoder's features."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours in rows and in columns."""
    return images.diff(dim=2), images.diff(dim=3)


def edge_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the images' gradients; keeps edges sharp where L1 alone blurs."""
    pairs = zip(_gradients(output), _gradients(target), strict=True)
    return sum(((a - b).abs().mean() for a, b in pairs), output.new_zeros(()))


def reconstruction_loss(output: Tensor, target: Tensor, options: Mapping[str, float]) -> Tensor:
    """L1, plus ``squared`` times the squared error, plus ``edge`` times the edges' L1.

    Args:
        output, target: (N, 3, H, W) in about [-1, 1].
    """
    difference = output - target
    return (
        difference.abs().mean()
        + options["squared"] * difference.square().mean()
        + options["edge"] * edge_loss(output, target)
    )


class Alignment(nn.Module):
    """1 - cosine between a linear map of the latents and a frozen encoder's patch features.

    It stands in for the end-to-end tuning of a VAE through a representation loss (REPA-E). The
    features' mean at every position is subtracted first: what all images share is no representation.

    Args:
        latent: (C, h, w) of the latents; h and w are multiples of the features' rows.
        mean: (D, rows, rows), the features' mean.
    """

    def __init__(self, latent: tuple[int, int, int], mean: Tensor):
        super().__init__()
        self.fold = latent[1] // mean.shape[1]
        self.head = nn.Conv2d(latent[0] * self.fold**2, mean.shape[0], 1)
        self.register_buffer("mean", mean)

    def forward(self, latents: Tensor, features: Tensor) -> Tensor:
        """Latents (N, C, h, w) and features (N, D, rows, rows) -> a scalar in [0, 2]."""
        mapped = self.head(F.pixel_unshuffle(latents, self.fold))
        return 1 - F.cosine_similarity(mapped, features - self.mean, dim=1).mean()
