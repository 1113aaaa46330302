"""Load large networks from several files of weights, one file at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from nanogen.errors import UserError
from nanogen.weights import check_folder, readable_weights

Network = TypeVar("Network", bound=nn.Module)
Shapes = Mapping[str, tuple[int, ...]]


def empty(make: Callable[[], Network]) -> Network:
    """Build the network of ``make`` on the meta device: parameters have shapes but use no memory."""
    with torch.device("meta"):
        network = make()
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, _constant(name, buffer))
    return network


def _constant(name: str, buffer: Tensor) -> Tensor:
    """Compute a buffer that files of weights do not contain."""
    values = {
        "position_ids": torch.arange(buffer.shape[-1]).expand(buffer.shape),
        "token_type_ids": torch.zeros(buffer.shape, dtype=buffer.dtype),
    }
    return values[name]


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def check_shapes(network: nn.Module, found: Shapes, where: str, twice: Sequence[str] = ()) -> None:
    """Raise UserError unless ``found`` has the name and shape of every weight of the network.

    Args:
        network: the network whose weights are expected.
        found: name -> shape of the weights that were read.
        where: the source of these weights, for the error message.
        twice: prefixes of weights that the network shares under another name; these may be missing.
    """
    wanted = shapes_of(network.state_dict())
    missing = sorted(name for name in wanted if name not in found and not name.startswith(tuple(twice)))
    other = sorted(name for name in found if wanted.get(name) != found[name])
    if missing or other:
        first = (missing + other)[0]
        said = f"has no {first}" if missing else f"has {first} of size {list(found[first])}"
        if not missing and first in wanted:
            said += f", expected {list(wanted[first])}"
        raise UserError(
            f"{where} {said}: it does not fit this {type(network).__name__} ({len(missing)} weights are "
            f"missing, {len(other)} do not fit); give the files of this model"
        )


def fill(
    network: Network,
    folder: Path,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    twice: Sequence[str] = (),
) -> Network:
    """Load the files ``*.safetensors`` in ``folder`` into a network built by `empty`, and freeze it.

    The network is in evaluation mode. ``twice`` is as in `check_shapes`. Raises UserError if there are
    no such files, one is damaged, or weights are missing or do not fit.
    """
    from safetensors.torch import load_file

    check_folder(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no weights: there is no *.safetensors file")
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        with readable_weights(path):
            weights = load_file(path, device=str(device))
        found |= shapes_of(weights)
        cast = {name: weight.to(dtype) for name, weight in weights.items()}
        network.load_state_dict(cast, strict=False, assign=True)
    check_shapes(network, found, str(folder), twice)
    return network.to(device).eval().requires_grad_(False)
