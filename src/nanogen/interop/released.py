"""Weights under the names of the authors' released checkpoints, and under ours.

Ours fuse query/key/value and the two halves of the SwiGLU, keep the patch embedding as a Linear, and
count the decoder's blocks from 0; a released checkpoint counts encoder and decoder as one list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.backbones import InContextEncoder

# released prefix -> ours; the longest that fits a name counts
_OUTSIDE = {
    "s_embedder.proj": "encoder_patches",
    "x_embedder.proj": "decoder_patches",
    "s_projector": "project",
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
    "cls_in_proj_enc": "encoder_cls.linear",
    "cls_in_norm_enc": "encoder_cls.norm",
    "cls_in_proj_dec": "decoder_cls.linear",
    "cls_in_norm_dec": "decoder_cls.norm",
    "final_layer.adaln_modulation.1": "final.modulation",
    "final_layer.cls_linear": "final.cls",
    "final_layer": "final",
    "base_final_layer.adaln_modulation.1": "base.modulation",
    "base_final_layer": "base",
    "repa_projector": "repa",
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
SHOWN = 12  # names that an error lists of each kind


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for old in sorted(table, key=len, reverse=True):
        if name == old or name.startswith(old + "."):
            return table[old] + name[len(old) :]
    return name


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {ours: released for released, ours in table.items()}


def to_released(weights: Mapping[str, Tensor], model: InContextEncoder) -> dict[str, Tensor]:
    """``weights``, a state dictionary of ``model``, under the released names and shapes.

    Works on the meta device too: that is how the names a checkpoint must have are known.
    """
    depth, kernel = len(model.encoder), (model.channels, model.patch, model.patch)
    result: dict[str, Tensor] = {}
    for name, value in weights.items():
        match = re.fullmatch(r"(encoder|decoder)\.(\d+)\.(.+)\.(weight|bias)", name)
        if match is None:
            released = _renamed(name, _inverse(_OUTSIDE))
            result[released] = value.unflatten(1, kernel) if name in _PATCHES else value
            continue
        part, number, inside, kind = match.groups()
        prefix = f"blocks.{int(number) + (depth if part == 'decoder' else 0)}"
        parts = _FUSED.get(inside) or (_renamed(inside, _inverse(_IN_BLOCK)),)
        for released, piece in zip(parts, value.chunk(len(parts)), strict=True):
            result[f"{prefix}.{released}.{kind}"] = piece
    return result


def from_released(weights: Mapping[str, Tensor], encoder_depth: int) -> dict[str, Tensor]:
    """Our state dictionary from a released one (``blocks.N`` counts encoder, then decoder)."""
    result: dict[str, Tensor] = {}
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if match is None:
            ours = _renamed(name, _OUTSIDE)
            result[ours] = value.flatten(1) if ours in _PATCHES else value
            continue
        index = int(match[1])
        part, number = (
            ("encoder", index) if index < encoder_depth else ("decoder", index - encoder_depth)
        )
        blocks.setdefault(f"{part}.{number}", {})[match[2]] = value
    for prefix, block in blocks.items():
        for fused, parts in _FUSED.items():
            for kind in ("weight", "bias"):
                values = [block.pop(f"{part}.{kind}") for part in parts]
                result[f"{prefix}.{fused}.{kind}"] = torch.cat(values)
        for name, value in block.items():
            result[f"{prefix}.{_renamed(name, _IN_BLOCK)}"] = value
    return result


def load_released(
    model: InContextEncoder, weights: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """The state dictionary of ``model`` from released ``weights``, every name and shape checked.

    Args:
        model: only its names and shapes are used, so it may be on the meta device.
        where: what the weights were read from, for the error.

    Raises UserError that lists what is missing, unexpected or of another shape.
    """
    expected = to_released({k: v.to("meta") for k, v in model.state_dict().items()}, model)
    problems = [
        _listed("missing", (name for name in expected if name not in weights)),
        _listed("unexpected", (name for name in weights if name not in expected)),
        _listed(
            "of another shape",
            (
                f"{name} {_size(weights[name])} instead of {_size(value)}"
                for name, value in expected.items()
                if name in weights and weights[name].shape != value.shape
            ),
        ),
    ]
    if any(problems):
        raise UserError(
            f"{where} does not hold the weights of this method and task; "
            f"{'; '.join(filter(None, problems))}"
        )
    return from_released(weights, len(model.encoder))


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"


def _listed(what: str, names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{len(found)} {what}: {', '.join(found[:SHOWN])}{more}" if found else ""
