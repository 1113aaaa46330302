"""Exponential moving average of the weights, in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanogen.training.sharding import placed


class EMA:
    """``shadow <- decay * shadow + (1 - decay) * weights`` for every parameter.

    With ``warmup`` the decay is min(decay, (1 + step) / (10 + step)), so that the initial weights do not
    dominate the average of a short run.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool = True):
        self.decay, self.warmup = decay, warmup
        self.names = [name for name, _ in model.named_parameters()]
        self.weights = [p for _, p in model.named_parameters()]
        self.shadow = [p.detach().clone() for p in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.weights], 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return the averaged weights by parameter name, sharded if the network is."""
        return dict(zip(self.names, self.shadow, strict=True))

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in zip(self.names, self.shadow, strict=True):
            value.copy_(placed(state[name], value))
