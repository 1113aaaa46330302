"""How far one optimizer step moves the weights, for the training curve."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nanogen.training.sharding import whole


def weights_of(model: nn.Module) -> list[Tensor]:
    """A copy of the trained weights, which takes as much memory as they do."""
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


def update_size(before: Sequence[Tensor], model: nn.Module) -> Tensor:
    """Norm of the change since ``weights_of``, over the norm of the weights then; a scalar.

    All processes must ask, where the network is sharded.
    """
    now = [p.detach() for p in model.parameters() if p.requires_grad]

    def norm(tensors: list[Tensor]) -> Tensor:
        return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))

    changes = [a - b for a, b in zip(now, before, strict=True)]
    return whole(norm(changes)) / whole(norm(list(before)))
