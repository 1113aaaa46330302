"""Initial weights are distributed as the authors' are."""

from __future__ import annotations

import json
import math

import pytest
import torch

from nanogen.backbones import DDT, LightningDiT
from nanogen.interop.released import to_released
from nanogen.tokenizers.vit_decoder import ViTDecoder

DDTS = ("label", "text", "reg_repa", "meanflow", "internal_guidance")
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
MANY = 1000  # numbers from which the standard deviation is known to 5 %


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
    }


def ddt(theirs: dict) -> DDT:
    encoder, decoder = zip(theirs["hidden_size"], theirs["depth"], theirs["num_heads"], strict=True)
    return DDT(
        **shared_arguments(theirs),
        patch=theirs["patch_size"][0],
        **dict(zip(("encoder_width", "encoder_depth", "encoder_heads"), encoder, strict=True)),
        **dict(zip(("decoder_width", "decoder_depth", "decoder_heads"), decoder, strict=True)),
        cls_width=theirs["z_dim"] if theirs.get("enable_reg") else None,
        repa_depth=theirs.get("repa_layer_depth"),
        repa_width=theirs.get("z_dim"),
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


def expected(golden_folder, name: str) -> tuple[dict, dict]:
    """Constructor arguments, and what is known of each parameter by its public name."""
    model = json.loads((golden_folder / "initialisation.json").read_text())[name]
    return model["arguments"], model["parameters"]


def assert_distributed(weights: dict[str, torch.Tensor], known: dict) -> None:
    """``weights`` have the names and shapes of ``known``, and each is distributed as it says."""
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


@pytest.mark.parametrize("name", DDTS)
def test_of_ddt(golden_folder, name):
    arguments, known = expected(golden_folder, name)
    torch.manual_seed(0)
    model = ddt(arguments)
    assert_distributed(to_released(dict(model.named_parameters()), model), known)


def test_of_lightningdit(golden_folder):
    arguments, known = expected(golden_folder, "lightning")
    torch.manual_seed(0)
    model = lightning(arguments)
    assert_distributed(to_released(dict(model.named_parameters()), model), known)


def decoder_weights(model: ViTDecoder) -> dict[str, torch.Tensor]:
    """Its parameters by public name, the fused ones apart."""
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


def test_of_the_decoder_of_an_rae(golden_folder):
    arguments, known = expected(golden_folder, "rae_decoder")
    side = 16
    torch.manual_seed(0)
    model = ViTDecoder(
        latent=(arguments["hidden_size"], side, side),
        resolution=side * arguments["patch_size"],
        hidden_size=arguments["decoder_hidden_size"],
        num_hidden_layers=arguments["decoder_num_hidden_layers"],
        num_attention_heads=arguments["decoder_num_attention_heads"],
        intermediate_size=arguments["decoder_intermediate_size"],
    )
    assert_distributed(decoder_weights(model), known)
    assert not model.position[0, 0].any()
