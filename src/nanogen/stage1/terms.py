"""A tokenizer's losses but the adversarial one: each gives one scalar of a `Reconstructed`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from nanogen.stage1.reconstructed import Reconstructed

Term = Callable[[Reconstructed], Tensor]


def l1(made: Reconstructed) -> Tensor:
    """Mean absolute difference of the pixels."""
    return (made.output - made.target).abs().mean()


def squared(made: Reconstructed) -> Tensor:
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
    cells = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * cells.sum() / len(mean)


class Perceptual:
    """Mean over the batch of a frozen distance (`nanogen.models.perceptual`)."""

    def __init__(self, distance: nn.Module):
        self.distance = distance

    def __call__(self, made: Reconstructed) -> Tensor:
        return self.distance(made.output, made.target).mean()


# those that need nothing but what the tokenizer made
PLAIN: dict[str, Term] = {"l1": l1, "squared": squared, "edge": edge, "kl": kl}
