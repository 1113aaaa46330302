"""The optimizers: AdamW on whatever is trained, or Muon on a backbone's matrices beside it."""

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
    """What a training needs of an optimizer; torch's have all of it."""

    state: Any  # of every parameter, its named moments

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def step(self) -> Any: ...

    def zero_grad(self) -> None: ...


def optimizer_of(network: nn.Module, keys: Optimizer) -> Optimizing:
    """The optimizer that ``keys`` name, of the parameters that need gradients."""
    return named(OPTIMIZERS[keys.kind])(network, keys)


def all_adamw(network: nn.Module, keys: Optimizer) -> Optimizing:
    """AdamW for every parameter."""
    return adamw(network, keys.betas, keys.weight_decay)


def muon_and_adamw(network: nn.Module, keys: Optimizer) -> Optimizing:
    """Muon for the matrices of the blocks, AdamW for the rest.

    The rest are embeddings, tokens, norms, biases and what reads the blocks out, for which Muon is not
    meant (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/). A step of Muon has the root
    mean square of one of AdamW, so that both have the same learning rate and weight decay (Liu et al.
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
        for part in parts:  # a parameter belongs to one of them
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
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) on the parameters that need gradients.

    Args:
        learning_rate: only a start where a schedule sets it at every step.
        eps: added to the root of the second moment.
        fused: one kernel for all parameters; it rounds otherwise than the loop over them does.
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
