"""Weights under the names of the authors' released checkpoints, and under ours.

Ours fuse query/key/value and the two halves of the SwiGLU, and keep the patch embedding as a Linear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen.errors import UserError

_RENAMED = {
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
}
_IN_BLOCK = {
    "attn.proj": "attention.out",
    "attn.q_norm": "attention.q_norm",
    "attn.k_norm": "attention.k_norm",
    "mlp.w3": "mlp.out",
    "adaln_modulation.1": "modulation",
}
_FUSED = {"attention.qkv": ("attn.q", "attn.k", "attn.v"), "mlp.gate_value": ("mlp.w1", "mlp.w2")}


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for old in sorted(table, key=len, reverse=True):
        if name == old or name.startswith(old + "."):
            return table[old] + name[len(old) :]
    return name


def from_released(weights: Mapping[str, Tensor], encoder_depth: int) -> dict[str, Tensor]:
    """Our state dictionary from a released one (``blocks.N`` counts encoder, then decoder)."""
    result: dict[str, Tensor] = {}
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if match is None:
            ours = _renamed(name, _RENAMED)
            result[ours] = value.flatten(1) if ours.endswith("_patches.weight") else value
            continue
        index = int(match[1])
        part, number = (
            ("encoder", index) if index < encoder_depth else ("decoder", index - encoder_depth)
        )
        blocks.setdefault(f"{part}.{number}", {})[match[2]] = value
    for prefix, block in blocks.items():
        for fused, parts in _FUSED.items():
            for kind in ("weight", "bias"):
                missing = [f"{p}.{kind}" for p in parts if f"{p}.{kind}" not in block]
                if missing:
                    raise UserError(f"released checkpoint lacks {', '.join(missing)} of {prefix}")
                values = [block.pop(f"{p}.{kind}") for p in parts]
                result[f"{prefix}.{fused}.{kind}"] = torch.cat(values)
        for name, value in block.items():
            result[f"{prefix}.{_renamed(name, _IN_BLOCK)}"] = value
    return result
