"""What a tokenizer under training made of a batch; every loss is a function of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Reconstructed:
    """Originals and reconstructions of B images, and what the latents came from.

    Attributes:
        images: uint8 (B, H, W, 3), as they are stored.
        target: float32 (B, 3, H, W) in [-1, 1], the same.
        output: float (B, 3, H, W) in about [-1, 1], with the tokenizer's graph.
        mean, log_variance: of a VAE's posterior, both as its network lays them out; None of others.
    """

    images: Tensor
    target: Tensor
    output: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None
