"""A batch of reconstructions, and all of a tokenizer's losses except the adversarial one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Reconstructed:
    """Originals and reconstructions of B images, and the posterior of a VAE.

    Attributes:
        images: the originals, uint8 (B, H, W, 3).
        target: the originals, float32 (B, 3, H, W) in [-1, 1].
        output: the reconstructions, float (B, 3, H, W) in about [-1, 1], with the autograd graph.
        mean, log_variance: the posterior of a VAE in its network's layout; None for other tokenizers.
        again: reconstructs the images again without noise, with the current weights and rounded to 8
            bits, float (B, 3, H, W) in [-1, 1]; None for a VAE.
    """

    images: Tensor
    target: Tensor
    output: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None
    again: Callable[[], Tensor] | None = None


Term = Callable[[Reconstructed], Tensor]


def l1(made: Reconstructed) -> Tensor:
    """Mean absolute difference of the pixels."""
    return (made.output - made.target).abs().mean()


def mse(made: Reconstructed) -> Tensor:
    """Mean squared difference of the pixels."""
    return (made.output - made.target).square().mean()


def edge(made: Reconstructed) -> Tensor:
    """Mean absolute difference of the image gradients, for rows plus for columns.

    It keeps edges sharp, which L1 alone blurs.
    """
    difference = made.output - made.target
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def kl(made: Reconstructed) -> Tensor:
    """Kullback-Leibler divergence of a VAE's posterior from N(0, 1), in nats per image."""
    mean, log_variance = made.mean, made.log_variance
    assert mean is not None, "only a VAE has a posterior"
    assert log_variance is not None
    cells = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * cells.sum() / len(mean)


class Perceptual:
    """Mean of a frozen perceptual distance over the batch (`nanogen.models.perceptual`)."""

    def __init__(self, distance: nn.Module):
        self.distance = distance

    def __call__(self, made: Reconstructed) -> Tensor:
        return self.distance(made.output, made.target).mean()


# terms that need no other network
PLAIN: dict[str, Term] = {"l1": l1, "mse": mse, "edge": edge, "kl": kl}
