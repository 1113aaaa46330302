"""Optimizers: AdamW for all parameters, or Muon for a backbone's matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Protocol

import torch
from torch import nn

from nanogen.config.entries import named
from nanogen.config.optimizers import OPTIMIZERS
from nanogen.config.training_schema import Optimizer


class Optimizing(Protocol):
    """The interface that a training needs; torch's optimizers satisfy it."""

    state: Any  # named moments, by parameter

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def step(self) -> Any: ...

    def zero_grad(self) -> None: ...


def optimizer_of(network: nn.Module, keys: Optimizer) -> Optimizing:
    """Return the optimizer that ``keys`` name, for the parameters that require gradients."""
    return named(OPTIMIZERS[keys.kind])(network, keys)


def all_adamw(network: nn.Module, keys: Optimizer) -> Optimizing:
    """Return AdamW for every parameter."""
    return adamw(network, keys.betas, keys.weight_decay)


def muon_and_adamw(network: nn.Module, keys: Optimizer) -> Optimizing:
    """Return Muon for the matrices of the blocks and AdamW for the rest.

    The rest are embeddings, tokens, norms, biases and output layers, for which Muon is not intended
    (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/). Updates of Muon are scaled to the
    root mean square of those of AdamW, so both use the same learning rate and weight decay (Liu et al.
    2025, arXiv 2502.16982, equation 4).
    """
    matrices = [p for p in _of_blocks(network) if p.requires_grad and p.dim() == 2]
    muon = torch.optim.Muon(
        matrices,
        weight_decay=keys.weight_decay,
        momentum=keys.momentum,
        adjust_lr_fn="match_rms_adamw",
    )
    return Together(muon, adamw(network, keys.betas, keys.weight_decay, but=matrices))


def _of_blocks(network: Any) -> Iterable[nn.Parameter]:
    return chain.from_iterable(block.parameters() for block in network.blocks())


class Together:
    """Optimizers of different parameters, used as one."""

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts
        self.state = parts[0].state
        for part in parts:  # no parameter belongs to two of them
            part.state = self.state

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()


def adamw(
    network: nn.Module,
    betas: Sequence[float],
    weight_decay: float,
    learning_rate: float = 1e-3,
    *,
    eps: float = 1e-8,
    fused: bool = True,
    but: Iterable[nn.Parameter] = (),
) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) for parameters that require gradients.

    Args:
        network: the network to train.
        betas: decay rates of the two moments.
        weight_decay: the decoupled weight decay.
        learning_rate: the learning rate, unless a schedule sets it at every step.
        eps: added to the square root of the second moment.
        fused: whether to use one kernel for all parameters; its rounding differs from a loop over them.
        but: parameters that another optimizer trains.
    """
    others = {id(p) for p in but}
    trained = [p for p in network.parameters() if p.requires_grad and id(p) not in others]
    first, second = betas
    return torch.optim.AdamW(
        trained,
        lr=learning_rate,
        betas=(first, second),
        eps=eps,
        weight_decay=weight_decay,
        fused=fused,
    )
