"""The optimizer of every training: AdamW on what is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def adamw(
    network: nn.Module,
    betas: Sequence[float],
    weight_decay: float,
    learning_rate: float = 1e-3,
    *,
    fused: bool = True,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) on the parameters that need gradients.

    Args:
        learning_rate: only a start where a schedule sets it at every step.
        fused: one kernel for all parameters; it rounds otherwise than the loop over them does.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    first, second = betas
    return torch.optim.AdamW(
        trained, lr=learning_rate, betas=(first, second), weight_decay=weight_decay, fused=fused
    )
