"""Translate backbone weights between the names of the authors' released checkpoints and ours.

Our networks fuse query, key and value and the two halves of the SwiGLU, have a Linear as patch
embedding, and count the decoder's blocks from 0. A released checkpoint numbers the blocks of encoder and
decoder consecutively, and contains rotary tables (`nanogen.interop.rotary`), which our networks compute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nanogen.interop.rotary import TABLES, check_tables, tables
from nanogen.interop.weights import check_names

if TYPE_CHECKING:
    from nanogen.backbones import InContextEncoder

# released prefix -> our prefix; the longest match applies
_SHARED = {
    "t_embedder.W": "time.frequencies",
    "t_embedder.learnable_tokens": "time.tokens",
    "t_embedder.mlp": "time.mlp",
    "t_abs_embedder.W": "absolute_time.frequencies",
    "t_abs_embedder.learnable_tokens": "absolute_time.tokens",
    "t_abs_embedder.mlp": "absolute_time.mlp",
    "ctx_embedder.learnable_tokens": "conditioner.tokens",
    "ctx_embedder.embedding_table": "conditioner.table",
    "ctx_embedder.norm": "conditioner.norm",
    "ctx_embedder.proj": "conditioner.linear",
    "final_layer.cls_linear": "final.cls",
    "final_layer": "final",
    "base_final_layer": "base",
    "repa_projector": "repa",
}
_OUTSIDE = {
    "ddt": {
        **_SHARED,
        "s_embedder.proj": "encoder_patches",
        "x_embedder.proj": "decoder_patches",
        "s_projector": "project",
        "cls_in_proj_enc": "encoder_cls.linear",
        "cls_in_norm_enc": "encoder_cls.norm",
        "cls_in_proj_dec": "decoder_cls.linear",
        "cls_in_norm_dec": "decoder_cls.norm",
        "final_layer.adaln_modulation.1": "final.modulation",
        "base_final_layer.adaln_modulation.1": "base.modulation",
    },
    "lightning": {
        **_SHARED,
        "x_embedder.proj": "encoder_patches",
        "cls_in_proj": "encoder_cls.linear",
        "cls_in_norm": "encoder_cls.norm",
        "final_layer.norm_final": "final.norm",
        "base_final_layer.norm_final": "base.norm",
    },
}
_IN_BLOCK = {
    "attn.proj": "attention.out",
    "attn.q_norm": "attention.q_norm",
    "attn.k_norm": "attention.k_norm",
    "mlp.w3": "mlp.out",
    "adaln_modulation.1": "modulation",
}
_FUSED = {"attention.qkv": ("attn.q", "attn.k", "attn.v"), "mlp.gate_value": ("mlp.w1", "mlp.w2")}
_PATCHES = ("encoder_patches.weight", "decoder_patches.weight")


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for old in sorted(table, key=len, reverse=True):
        if name == old or name.startswith(old + "."):
            return table[old] + name[len(old) :]
    return name


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {ours: released for released, ours in table.items()}


def to_released(weights: Mapping[str, Tensor], model: InContextEncoder) -> dict[str, Tensor]:
    """Convert ``weights``, a state dict of ``model``, to the released names and shapes.

    Rotary tables are not included. This also works on the meta device, which gives the names and shapes
    that a checkpoint must have.
    """
    outside = _inverse(_OUTSIDE[model.config["kind"]])
    depth, kernel = len(model.encoder), (model.channels, model.patch, model.patch)
    result: dict[str, Tensor] = {}
    for name, value in weights.items():
        match = re.fullmatch(r"(encoder|decoder)\.(\d+)\.(.+)\.(weight|bias)", name)
        if match is None:
            released = _renamed(name, outside)
            result[released] = value.unflatten(1, kernel) if name in _PATCHES else value
            continue
        part, number, inside, kind = match.groups()
        prefix = f"blocks.{int(number) + (depth if part == 'decoder' else 0)}"
        parts = _FUSED.get(inside) or (_renamed(inside, _inverse(_IN_BLOCK)),)
        for released, piece in zip(parts, value.chunk(len(parts)), strict=True):
            result[f"{prefix}.{released}.{kind}"] = piece
    return result


def state_to_release(model: InContextEncoder) -> dict[str, Tensor]:
    """Return the weights and rotary tables of ``model``, as the authors' class loads them strictly."""
    return {**to_released(model.state_dict(), model), **tables(model)}


def from_released(
    weights: Mapping[str, Tensor], encoder_depth: int, kind: str = "ddt"
) -> dict[str, Tensor]:
    """Convert a released state dict without rotary tables to ours.

    Args:
        weights: the released state dict.
        encoder_depth: number of blocks in the encoder; ``blocks.N`` counts those of the encoder first,
            then those of the decoder.
        kind: the kind of backbone, ``ddt`` or ``lightning``.
    """
    result: dict[str, Tensor] = {}
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if match is None:
            ours = _renamed(name, _OUTSIDE[kind])
            result[ours] = value.flatten(1) if ours in _PATCHES else value
            continue
        index = int(match[1])
        part, number = (
            ("encoder", index) if index < encoder_depth else ("decoder", index - encoder_depth)
        )
        blocks.setdefault(f"{part}.{number}", {})[match[2]] = value
    for prefix, block in blocks.items():
        for fused, parts in _FUSED.items():
            for role in ("weight", "bias"):
                values = [block.pop(f"{part}.{role}") for part in parts]
                result[f"{prefix}.{fused}.{role}"] = torch.cat(values)
        for name, value in block.items():
            result[f"{prefix}.{_renamed(name, _IN_BLOCK)}"] = value
    return result


def load_released(
    model: InContextEncoder, weights: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """Convert released ``weights`` to a state dict of ``model``, and check every name and shape.

    Rotary tables may be missing. Those that are present are compared with the network's own, and are not
    part of the result.

    Args:
        model: only its names and shapes are used, so it may be on the meta device.
        weights: the released state dict.
        where: what the weights were read from; for error messages.

    Raises:
        UserError: weights are missing, unexpected or of another shape (the message lists them), or a
            rotary table belongs to another grid.
    """
    kind = model.config["kind"]
    own = {name: value for name, value in weights.items() if name.rpartition(".")[0] not in TABLES[kind]}
    expected = to_released({k: v.to("meta") for k, v in model.state_dict().items()}, model)
    check_names(expected, own, where, "this method and task")
    check_tables(weights, model, where)
    return from_released(own, len(model.encoder), kind)
