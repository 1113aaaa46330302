"""Networks of timm, in folders with ``config.json`` and ``model.safetensors``.

``timm:NAME`` is a registered model, such as `vit_pe_core_large_patch14_336`, in a folder as timm
publishes it on the hub. ``timm:Eva``, ``timm:ConvNeXt`` and ``timm:VisionTransformer`` are classes of
timm, in folders as `save` writes them.

Perception Encoders are adapted to another image size as in the authors' code: the position table is
resized bilinearly, and rotary positions are the integers from 1. timm itself resamples the table with a
bicubic, antialiased filter and scales rotary positions to the grid of the pretraining.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.errors import UserError
from nanogen.models.loading import LibraryNetwork
from nanogen.models.network_files import load_weights, read_config, save_network

PREFIX = "timm:"
EVA = "timm:Eva"  # the class behind timm's Perception Encoders
PERCEPTION = "timm:vit_pe_"  # prefix of the registered Perception Encoders
CONVNEXT = "timm:ConvNeXt"
VIT = "timm:VisionTransformer"
MODULES = {
    EVA: "timm.models.eva",
    CONVNEXT: "timm.models.convnext",
    VIT: "timm.models.vision_transformer",
}


def is_timm(class_name: str) -> bool:
    return class_name.startswith(PREFIX)


def is_own_class(class_name: str) -> bool:
    """Whether ``class_name`` is a class of vision transformers, whose sizes are arguments."""
    return class_name in (EVA, VIT)


def is_eva(network: nn.Module) -> bool:
    """Whether a network has the class of timm's Perception Encoders."""
    return type(network).__name__ == EVA.removeprefix(PREFIX)


def build(class_name: str, arguments: Mapping[str, Any]) -> LibraryNetwork:
    """Build an untrained network of ``class_name`` with timm's keyword ``arguments``.

    Raises UserError if timm does not accept the name or the arguments.
    """
    import timm

    name, arguments = class_name.removeprefix(PREFIX), {"num_classes": 0, **arguments}
    try:
        if class_name in MODULES:
            return getattr(import_module(MODULES[class_name]), name)(**arguments)
        return timm.create_model(name, pretrained=False, **arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"timm cannot build {name!r}: {error}") from error


def save(network: nn.Module, arguments: Mapping[str, Any], folder: Path) -> None:
    """Save a network of a timm class, and the ``arguments`` it was built with, in an existing folder."""
    save_network(network, {"arguments": dict(arguments)}, folder)


def load(
    folder: Path,
    class_name: str,
    size: int,
    activation: str | None = None,
    positions: Literal["bicubic", "bilinear"] | None = None,
    norm_eps: float | None = None,
) -> LibraryNetwork:
    """Load a network, frozen, float32 and in evaluation mode.

    Args:
        folder: as timm or `save` writes it.
        class_name: ``timm:NAME``.
        size: side of the square images, in pixels. Positions are resized if the network was published
            for another size.
        activation: activation of the MLPs; by default the published one.
        positions: how to resize the position table, without antialiasing; by default as the class does.
        norm_eps: epsilon of the norms; by default the published one.

    Raises:
        UserError: a file is missing, or a weight does not fit.
    """
    arguments = stored_arguments(read_config(folder))
    if activation:
        arguments["act_layer"] = activation
    if norm_eps is not None:
        arguments["norm_layer"] = partial(nn.LayerNorm, eps=norm_eps)
    network: LibraryNetwork = load_weights(build(class_name, arguments), folder)
    table, grid = network.pos_embed, network.patch_embed.grid_size
    if class_name == EVA or class_name.startswith(PERCEPTION):
        positions = positions or "bilinear"
        network.rope.ref_feat_shape = None
        network.rope.reset_parameters()
    network.set_input_size(img_size=(size, size))
    if positions is not None:
        network.pos_embed = nn.Parameter(_resized(table, grid, network.patch_embed.grid_size, positions))
    return network.requires_grad_(False)


def _resized(table: Tensor, old: tuple[int, int], new: tuple[int, int], mode: str) -> Tensor:
    """Resize positions (1, prefix + rows * columns, D) from the grid ``old`` to the grid ``new``."""
    if old == new:
        return table
    prefix = table.shape[1] - old[0] * old[1]
    front, cells = table[:, :prefix], table[:, prefix:]
    image = cells.transpose(1, 2).unflatten(2, old)
    image = F.interpolate(image, new, mode=mode, antialias=False)
    return torch.cat([front, image.flatten(2).transpose(1, 2)], dim=1)


def stored_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments in a ``config.json`` that `save` or timm wrote."""
    if "arguments" in config:
        return dict(config["arguments"])
    return {"num_classes": config.get("num_classes", 0), **config.get("model_args", {})}
