"""What a training computes, from widths, depths and tokens alone.

A multiply-add counts as two operations. Linear layers and the two products of attention are counted,
norms and activations are not; they are below one per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a training step costs in forward passes: one forward, and a backward of twice its operations.
# MeanFlow's forward-mode derivative adds the pass of the tangent in a quarter of the batches.
PASSES = {"flow-matching": 3.0, "meanflow": 3.25}


def forward_flops(stage: Mapping[str, Any]) -> float:
    """Operations of one image's forward pass of the network that a ``train`` stage describes."""
    keys, conditioner = stage["backbone"], stage["conditioner"]
    channels, rows, columns = stage["latent"]
    wide, deep = keys["encoder_width"], keys["decoder_width"]
    values = channels * keys["patch"] ** 2
    image = rows * columns // keys["patch"] ** 2
    cls = 1 if stage.get("cls_width") else 0
    times = 2 if stage["objective"]["kind"] == "meanflow" else 1
    kept = cls + image  # the tokens that the decoder sees
    sequence = kept + times * keys["time_tokens"] + conditioner["tokens"]
    text = stage["text_width"] if conditioner["kind"] == "text" else 0
    multiplied = (
        image * values * (wide + deep)
        + cls * (stage.get("cls_width") or 0) * (wide + 2 * deep)
        + times * wide * (512 + wide)
        + text * conditioner["tokens"] * wide
        + keys["encoder_depth"] * _block(sequence, wide, keys["mlp_ratio"])
        + (kept * wide * deep if wide != deep else 0)
        + keys["decoder_depth"] * (_block(kept, deep, keys["mlp_ratio"]) + kept * 6 * deep**2)
        + kept * 2 * deep**2
        + image * deep * values
    )
    return 2.0 * multiplied


def _block(tokens: int, width: int, mlp_ratio: float) -> int:
    """Multiply-adds of attention and SwiGLU over a sequence."""
    hidden = int(2 / 3 * mlp_ratio * width)
    return tokens * (4 * width**2 + 3 * width * hidden) + 2 * tokens**2 * width


def training_flops(stage: Mapping[str, Any]) -> float:
    """Operations per training image; frozen networks of added loss terms are not counted."""
    return PASSES[stage["objective"]["kind"]] * forward_flops(stage)


def gpu_hours(stage: Mapping[str, Any], tflops: float, utilisation: float) -> float:
    """Hours of one GPU of ``tflops`` peak, of which the share ``utilisation`` in (0, 1] is reached."""
    images = stage["training"]["steps"] * stage["training"]["batch_size"]
    return images * training_flops(stage) / (tflops * 1e12 * utilisation) / 3600
