"""A network of torch on disk: ``config.json`` (constructor arguments) and ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nanogen.errors import UserError
from nanogen.files import read_json, write_json

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def save_network(network: nn.Module, config: Mapping[str, Any], folder: Path) -> None:
    """Write ``config`` and the network's weights into ``folder`` (which exists)."""
    from safetensors.torch import save_file

    write_json(folder / CONFIG, dict(config))
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    save_file(state, folder / WEIGHTS)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration stored beside the weights; raises UserError where there is none."""
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} holds no network: there is no {CONFIG}; make or fetch it again")
    return read_json(folder / CONFIG)


def load_weights(network: nn.Module, folder: Path) -> nn.Module:
    """Fill ``network`` from ``folder``; frozen, float32, evaluating. Raises UserError unless every
    weight is there, of the right size, and none is left over."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.exists():
        raise UserError(f"{folder} holds no weights: there is no {WEIGHTS}; make or fetch it again")
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, RuntimeError, OSError) as error:
        first = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path} does not hold the weights that {folder / CONFIG} names: {first}"
        ) from error
    return network.float().eval().requires_grad_(False)
