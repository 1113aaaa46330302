"""What a tokenizer under training made of a batch, and all losses of it but the adversarial one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Reconstructed:
    """Originals and reconstructions of B images, and what the latents came from.

    Attributes:
        images: uint8 (B, H, W, 3), as they are stored.
        target: float32 (B, 3, H, W) in [-1, 1], the same.
        output: float (B, 3, H, W) in about [-1, 1], with the tokenizer's graph.
        mean, log_variance: of a VAE's posterior, both as its network lays them out; None of others.
        again: makes the images once more, float (B, 3, H, W) in [-1, 1], by the trained network as it is
            when called, without noise and of 8 bits; None of a VAE.
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
    """Mean absolute difference of the images' gradients, of rows plus of columns; keeps edges sharp
    where L1 alone blurs."""
    difference = made.output - made.target
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def kl(made: Reconstructed) -> Tensor:
    """Kullback-Leibler divergence from N(0, 1) to a VAE's posterior, summed over the latent, in nats
    per image."""
    mean, log_variance = made.mean, made.log_variance
    assert mean is not None, "only a VAE has a posterior"
    assert log_variance is not None
    cells = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * cells.sum() / len(mean)


class Perceptual:
    """Mean over the batch of a frozen distance (`nanogen.models.perceptual`)."""

    def __init__(self, distance: nn.Module):
        self.distance = distance

    def __call__(self, made: Reconstructed) -> Tensor:
        return self.distance(made.output, made.target).mean()


# those that need nothing but what the tokenizer made
PLAIN: dict[str, Term] = {"l1": l1, "mse": mse, "edge": edge, "kl": kl}
