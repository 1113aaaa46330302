"""Initial weights have the same distributions as the authors'."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from golden_files import every

from nanogen.backbones import DDT, LightningDiT
from nanogen.interop.released import to_released
from nanogen.tokenizers.vit_decoder import ViTDecoder

FILES = pytest.mark.parametrize("path", every("initialisation*.json"))
DECODER = {  # our name -> the public one
    "position": "decoder_pos_embed",
    "token": "trainable_cls_token",
    "embed": "decoder_embed",
    "norm": "decoder_norm",
    "pixels": "decoder_pred",
}
IN_DECODER_BLOCK = {
    "qkv": [f"attention.attention.{part}" for part in ("query", "key", "value")],
    "out": ["attention.output.dense"],
    "mlp.0": ["intermediate.dense"],
    "mlp.2": ["output.dense"],
    "norm1": ["layernorm_before"],
    "norm2": ["layernorm_after"],
}
MANY = 1000  # with more weights, the standard deviation is known to 5 %


def shared_arguments(theirs: dict) -> dict:
    tokens = theirs["cond_arch"]
    kind = theirs.get("condition_type", "label")
    conditioner = {"kind": kind, "tokens": tokens["num_c_tokens"]}
    if kind == "label":
        conditioner["classes"] = theirs["num_classes"]
    return {
        "latent": (theirs["in_channels"], theirs["input_size"], theirs["input_size"]),
        "conditioner": conditioner,
        "text_width": theirs.get("context_dim"),
        "time_tokens": tokens["num_t_tokens"],
        "mlp_ratio": theirs.get("mlp_ratio", 4.0),
    }


def ddt(theirs: dict) -> DDT:
    encoder, decoder = zip(theirs["hidden_size"], theirs["depth"], theirs["num_heads"], strict=True)
    return DDT(
        **shared_arguments(theirs),
        patch=theirs["patch_size"][0],
        **dict(zip(("encoder_width", "encoder_depth", "encoder_heads"), encoder, strict=True)),
        **dict(zip(("decoder_width", "decoder_depth", "decoder_heads"), decoder, strict=True)),
        cls_width=theirs["z_dim"] if theirs.get("enable_reg") else None,
        repa_depth=theirs.get("repa_layer_depth") if theirs.get("enable_repa") else None,
        repa_width=theirs.get("z_dim") if theirs.get("enable_repa") else None,
        guidance_depth=theirs.get("base_model_depth"),
        absolute_time=theirs.get("is_meanflow", False),
    )


def lightning(theirs: dict) -> LightningDiT:
    return LightningDiT(
        **shared_arguments(theirs),
        patch=theirs["patch_size"],
        encoder_width=theirs["hidden_size"],
        encoder_depth=theirs["depth"],
        encoder_heads=theirs["num_heads"],
    )


def kind(theirs: dict) -> str:
    """The class that the arguments belong to: a DDT has two widths, an RAE's decoder names its width."""
    if "decoder_hidden_size" in theirs:
        return "decoder"
    return "ddt" if isinstance(theirs["hidden_size"], list) else "lightning"


def models(path: Path, of: str) -> list[tuple[dict, dict]]:
    """Arguments and known parameter statistics, by public name, of each model of a class."""
    held = json.loads(path.read_text(encoding="utf-8")).values()
    return [
        (model["arguments"], model["parameters"]) for model in held if kind(model["arguments"]) == of
    ]


def assert_distributed(weights: dict[str, torch.Tensor], known: dict) -> None:
    """Assert that ``weights`` have the names, shapes and distributions of ``known``."""
    assert {k: list(v.shape) for k, v in weights.items()} == {k: v["shape"] for k, v in known.items()}
    wrong = {k: known[k]["rule"] for k, v in weights.items() if not fits(v.detach().double(), known[k])}
    assert not wrong


def fits(weight: torch.Tensor, known: dict) -> bool:
    rule, std = known["rule"], known["rule_std"]
    if rule.startswith("constant"):
        return bool((weight == float(rule.split()[-1])).all())
    if rule.startswith("fixed"):
        numbers = [float(weight.mean()), float(weight.std()), float(weight.abs().max())]
        return numbers == pytest.approx([known["mean"], known["std"], known["absmax"]], abs=1e-4)
    count = weight.numel()
    spread = weight.std() / std - 1
    centred = abs(weight.mean() - known["mean"]) < 6 * std / math.sqrt(count)
    within = rule.startswith("normal") or weight.abs().max() <= math.sqrt(3) * std * (1 + 1e-4)
    return bool(abs(spread) < (0.05 if count > MANY else 0.2) and centred and within)


@FILES
@pytest.mark.parametrize("made", [ddt, lightning])
def test_of_backbones(path, made):
    for arguments, known in models(path, made.__name__):
        torch.manual_seed(0)
        model = made(arguments)
        assert_distributed(to_released(dict(model.named_parameters()), model), known)


def decoder_weights(model: ViTDecoder) -> dict[str, torch.Tensor]:
    """The decoder's parameters by public name, with fused ones split."""
    weights = {}
    for name, value in model.named_parameters():
        part, _, rest = name.partition(".")
        if part != "blocks":
            weights[DECODER[part] + ("." + rest if rest else "")] = value
            continue
        number, _, inside = rest.partition(".")
        inside, _, kind = inside.rpartition(".")
        public = IN_DECODER_BLOCK[inside]
        for split, piece in zip(public, value.chunk(len(public)), strict=True):
            weights[f"decoder_layers.{number}.{split}.{kind}"] = piece
    return weights


@FILES
def test_of_the_decoder_of_an_rae(path):
    for arguments, known in models(path, "decoder"):
        side = round((known["decoder_pos_embed"]["shape"][1] - 1) ** 0.5)
        torch.manual_seed(0)
        model = ViTDecoder(
            latent=(arguments["hidden_size"], side, side),
            resolution=side * arguments["patch_size"],
            hidden_size=arguments["decoder_hidden_size"],
            num_hidden_layers=arguments["decoder_num_hidden_layers"],
            num_attention_heads=arguments["decoder_num_attention_heads"],
            intermediate_size=arguments["decoder_intermediate_size"],
            qkv_bias=arguments.get("qkv_bias", True),
        )
        assert_distributed(decoder_weights(model), known)
        assert not model.position[0, 0].any()
