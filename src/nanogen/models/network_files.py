"""Save and load networks as ``config.json`` (constructor arguments) and ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.weights import readable_weights

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
Network = TypeVar("Network", bound=nn.Module)


def save_network(network: nn.Module, config: Mapping[str, Any], folder: Path) -> None:
    """Write ``config`` and the network's weights into ``folder``, which must exist."""
    save_state(network.state_dict(), config, folder)


def save_state(state: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> None:
    """Write ``config`` and the weights ``state`` into ``folder``, which must exist."""
    from safetensors.torch import save_file

    write_json(folder / CONFIG, dict(config))
    weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    save_file(weights, folder / WEIGHTS)


def read_pickled_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a ``torch.save`` file without executing anything in it.

    Some networks are only released in this format. Raises UserError if the file is not a state dict.
    """
    from nanogen.models.torch_files import read_torch

    state = read_torch(path)
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} does not contain tensors by name; expected a state dict")
    return dict(state)


def read_config(folder: Path, named: str | None = None) -> dict[str, Any]:
    """Read the configuration next to the weights.

    Raises UserError if there is none, or if it is not that of the class ``named``.
    """
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} holds no network: there is no {CONFIG}; make or fetch it again")
    config: dict[str, Any] = read_json(folder / CONFIG)
    if named and config.get("_class_name") != named:
        holds = config.get("_class_name") or ", ".join(config.get("architectures") or ["network"])
        raise UserError(f"{folder} holds a {holds}, not a {named}; give the folder of a {named}")
    return config


def load_weights(network: Network, folder: Path) -> Network:
    """Load the weights in ``folder`` into ``network``, and freeze it.

    The network has torch's default type and is in evaluation mode. Raises UserError unless the names and
    shapes of all weights match.
    """
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.exists():
        raise UserError(f"{folder} holds no weights: there is no {WEIGHTS}; make or fetch it again")
    with readable_weights(path):
        weights = load_file(path)
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path} does not hold the weights that {folder / CONFIG} names: {first}"
        ) from error
    return network.to(torch.get_default_dtype()).eval().requires_grad_(False)
