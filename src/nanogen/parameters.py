"""Count the parameters of a network without allocating it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class _NoInitialisation(TorchFunctionMode):
    """Mode in which the functions of torch.nn.init return their tensor unchanged."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def parameter_count(make: Callable[[], nn.Module]) -> int:
    """Return the number of parameters of the network that ``make`` returns.

    The network is created on the meta device: no memory is allocated, and no random numbers are drawn.
    """
    with torch.device("meta"), _NoInitialisation():
        return sum(parameter.numel() for parameter in make().parameters())
