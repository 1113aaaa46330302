"""Sample from initial weights; if all output layers are zero, nothing has to be computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanogen.backbones import Condition, InContextEncoder, Output, build
from nanogen.config.train_stage import TrainStage


class Silent(nn.Module):
    """Replace a network whose output layers are zero: return its output without computing it."""

    def __init__(self, network: InContextEncoder):
        super().__init__()
        self.conditioner = network.conditioner
        self.has_base = network.base is not None

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        condition: Condition,
        cls: Tensor | None = None,
        absolute: Tensor | None = None,
    ) -> Output:
        output = Output(torch.zeros_like(x), None if cls is None else torch.zeros_like(cls))
        return output._replace(base=output) if self.has_base else output


def is_silent(network: InContextEncoder) -> bool:
    """Whether all output layers of the network are zero."""
    heads = [network.final, *([] if network.base is None else [network.base])]
    outputs = [linear for head in heads for linear in head.outputs()]
    return not any(parameter.any() for linear in outputs for parameter in linear.parameters())


def untrained(train: TrainStage) -> nn.Module:
    """Return a module that samples like the network of a ``train`` stage before its training."""
    network = build(train)
    return Silent(network) if is_silent(network) else network
