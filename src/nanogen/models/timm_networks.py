"""Networks of timm: a folder with ``config.json`` and ``model.safetensors``.

``timm:NAME`` is a registered model (`vit_pe_core_large_patch14_336`), its folder as timm publishes it
on the hub; ``timm:Eva``, ``timm:ConvNeXt`` and ``timm:VisionTransformer`` are timm's classes
themselves, their folders as `save` writes them.

Perception Encoders are fitted to another size as the authors' code does: the table of positions is
resized bilinearly, and rotary positions are whole numbers from 1 on. timm resamples the table with a
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
PERCEPTION = "timm:vit_pe_"  # how the names of the registered ones begin
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
    """Whether ``class_name`` is a class of vision transformers, which has no sizes of its own."""
    return class_name in (EVA, VIT)


def is_eva(network: nn.Module) -> bool:
    """Whether a network is of the class of timm's Perception Encoders."""
    return type(network).__name__ == EVA.removeprefix(PREFIX)


def build(class_name: str, arguments: Mapping[str, Any]) -> LibraryNetwork:
    """An untrained network of ``class_name`` with timm's own keyword ``arguments``.

    Raises UserError where timm knows neither the name nor the arguments.
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
    """Write a network of a class of timm built with ``arguments``; the folder exists."""
    save_network(network, {"arguments": dict(arguments)}, folder)


def load(
    folder: Path,
    class_name: str,
    size: int,
    activation: str | None = None,
    positions: Literal["bicubic", "bilinear"] | None = None,
    norm_eps: float | None = None,
) -> LibraryNetwork:
    """The network in ``folder`` for square images of ``size`` pixels, frozen, float32, evaluating.

    Where it was published for another size, its positions are fitted to this one.

    Args:
        activation: of its MLPs, where it is another than the published one.
        positions: how the table is resized, without antialiasing; None: as its class does.
        norm_eps: added to the variance in its norms, where it is another than the published one.

    Raises UserError where a file is missing or a weight does not fit.
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
    """Positions (1, prefix + rows * columns, D) of the grid ``old``, on the grid ``new``."""
    if old == new:
        return table
    prefix = table.shape[1] - old[0] * old[1]
    front, cells = table[:, :prefix], table[:, prefix:]
    image = cells.transpose(1, 2).unflatten(2, old)
    image = F.interpolate(image, new, mode=mode, antialias=False)
    return torch.cat([front, image.flatten(2).transpose(1, 2)], dim=1)


def stored_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments from a ``config.json`` of `save` or of timm's hub."""
    if "arguments" in config:
        return dict(config["arguments"])
    return {"num_classes": config.get("num_classes", 0), **config.get("model_args", {})}
