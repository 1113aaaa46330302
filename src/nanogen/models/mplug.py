"""mPLUG for visual question answering (Li et al. 2022, arXiv 2205.12005), built from transformers.

A CLIP vision tower encodes the image, and a BERT encodes the question. In the fusion layers the question
attends to the image; in every ``stride``-th of them, both attend to each other. A BERT decoder generates
the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

CLASS = "MPlug"
LEAST = -1e4  # added to the attention scores of masked positions, as in the authors' code


class FusionLayer(nn.Module):
    """Self-attention of the text, attention of the text to the image, and an MLP."""

    def __init__(self, config: Any):
        super().__init__()
        from transformers.models.bert.modeling_bert import BertAttention, BertIntermediate, BertOutput

        self.attention = BertAttention(config)
        self.crossattention = BertAttention(config, is_cross_attention=True)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def _mlp(self, states: Tensor) -> Tensor:
        return self.output(self.intermediate(states), states)

    def read_image(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """Attend from the text (N, L, width) to the image (N, P, width); returns (N, L, width)."""
        states = self.attention(text, mask)[0]
        return self._mlp(self.crossattention(states, None, image)[0])

    def read_both(self, states: Tensor, mask: Tensor) -> Tensor:
        """Self-attention over image and text (N, P + L, width); returns the same shape."""
        return self._mlp(self.attention(states, mask)[0])


class Fusion(nn.Module):
    """Fuse image and text in ``count`` layers."""

    def __init__(self, config: Any, count: int, stride: int):
        super().__init__()
        self.layer = nn.ModuleList(FusionLayer(config) for _ in range(count))
        self.stride = stride

    def forward(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """Return (N, P + L, width): the image's tokens, then the text's."""
        patches = image.shape[1]
        whole = torch.cat([mask.new_zeros(*mask.shape[:-1], patches), mask], -1)
        for number, layer in enumerate(self.layer):
            assert isinstance(layer, FusionLayer)
            if number and number % self.stride == 0:
                both = layer.read_both(torch.cat([image, text], 1), whole)
                image, text = image + both[:, :patches], both[:, patches:]
            else:
                text = layer.read_image(text, mask, image)
        return torch.cat([image, text], 1)


class MPlug(nn.Module):
    """The network mPLUG.

    Args:
        vision_config: arguments of CLIPVisionConfig.
        text_config: arguments of BertConfig, without ``num_hidden_layers``.
        text_layers, fusion_layers, decoder_layers: number of layers of each part.
        stride: image and text attend to each other in every ``stride``-th fusion layer.
    """

    def __init__(
        self,
        vision_config: Mapping[str, Any],
        text_config: Mapping[str, Any],
        text_layers: int,
        fusion_layers: int,
        decoder_layers: int,
        stride: int,
    ):
        super().__init__()
        from transformers import (
            BertConfig,
            BertLMHeadModel,
            BertModel,
            CLIPVisionConfig,
            CLIPVisionModel,
        )

        self.vision = CLIPVisionModel(CLIPVisionConfig(**vision_config))
        reads = BertConfig(**{**text_config, "num_hidden_layers": text_layers})
        writes = BertConfig(
            **{**text_config, "num_hidden_layers": decoder_layers, "tie_word_embeddings": False},
            is_decoder=True,
            add_cross_attention=True,
        )
        self.text_encoder = BertModel(reads, add_pooling_layer=False)
        width, seen = reads.hidden_size, self.vision.config.hidden_size
        # released models have no projection if both widths are the same
        self.visn_fc = nn.Linear(seen, width) if seen != width else nn.Identity()
        self.visn_layer_norm = nn.LayerNorm(width, eps=1e-12) if seen != width else nn.Identity()
        self.fusion = Fusion(self.text_encoder.config, fusion_layers, stride)
        self.text_decoder = BertLMHeadModel(writes)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to features (N, 1 + patches, width)."""
        states = self.vision(pixels).last_hidden_state
        return self.visn_layer_norm(self.visn_fc(self.vision.post_layernorm(states)))

    def read(self, seen: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode questions about images.

        Args:
            seen: the result of `encode_images` for N images.
            tokens: tokens of the questions, int64 (N, L).
            mask: (N, L), 1 at tokens and 0 at padding.

        Returns:
            The decoder's input (N, P + L, width), and its mask (N, P + L).
        """
        text = self.text_encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        hidden = (1.0 - mask[:, None, None].to(text.dtype)) * LEAST
        states = self.fusion(text, hidden, seen)
        return states, torch.cat([mask.new_ones(seen.shape[:2]), mask], 1)

    def next_logits(self, states: Tensor, mask: Tensor, written: Tensor) -> Tensor:
        """Compute the logits (N, T, vocabulary) of the token after each of ``written`` (N, T)."""
        return self.text_decoder(
            input_ids=written,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).logits


# --------------------------------------------------------------------------- the released files


def arguments(config: Mapping[str, Any], bert: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `MPlug` for the released ``config.yaml`` and ``config_bert.json``.

    Raises KeyError if a key is missing.
    """
    width = config.get("clip_vision_width", 1024)
    own = ("text_encoder_layers", "text_decode_layers", "fusion_layers", "stride_layer")
    known = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "hidden_act")
    more = ("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id")
    return {
        "vision_config": {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": config.get("clip_vision_layers", 24),
            "num_attention_heads": width // 64,
            "image_size": config.get("image_res", 504),
            "patch_size": config.get("clip_vision_patch_size", 14),
            "hidden_act": "quick_gelu",
        },
        "text_config": {key: bert[key] for key in (*known, *more) if key in bert},
        "text_layers": bert[own[0]],
        "decoder_layers": bert[own[1]],
        "fusion_layers": min(bert[own[2]], bert["num_hidden_layers"]),
        "stride": bert.get(own[3], 100),
    }


def from_released(weights: Mapping[str, Tensor], fusion_layers: int) -> dict[str, Tensor]:
    """Rename the released weights to ours.

    Weights that answering does not need, such as the average from training, are left out.
    """
    found: dict[str, Tensor] = {}
    depth = 1 + max(
        (int(n.split(".")[3]) for n in weights if n.startswith("fusion_encoder.encoder.layer.")),
        default=-1,
    )
    kept = ("text_encoder.", "text_decoder.", "visn_fc.", "visn_layer_norm.")
    for name, weight in weights.items():
        if name.startswith("visual_encoder.visual."):
            found.update(_of_clip(name.removeprefix("visual_encoder.visual."), weight))
        elif name.startswith("fusion_encoder.encoder.layer."):
            number, rest = name.split(".", 4)[3:]
            if (place := int(number) - (depth - fusion_layers)) >= 0:  # only the last layers are used
                found[f"fusion.layer.{place}.{rest}"] = weight
        elif name.startswith(kept) and not name.endswith("position_ids"):
            found[name] = weight
    head = "text_decoder.cls.predictions"
    if f"{head}.bias" in found:  # files have one or both names of this parameter
        found.setdefault(f"{head}.decoder.bias", found[f"{head}.bias"])
    return found


CLIP_NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.": "pre_layrnorm.",
    "ln_post.": "post_layernorm.",
    ".attn.out_proj.": ".self_attn.out_proj.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    "transformer.resblocks.": "encoder.layers.",
}


def _of_clip(name: str, weight: Tensor) -> dict[str, Tensor]:
    """Rename a weight of OpenAI's CLIP, which fuses query, key and value, to transformers' names."""
    if name == "proj":  # into CLIP's joint space
        return {}
    renamed = name
    for theirs, ours in CLIP_NAMES.items():
        renamed = renamed.replace(theirs, ours)
    if ".attn.in_proj_" not in renamed:
        return {f"vision.{renamed}": weight}
    layer, _, kind = renamed.partition(".attn.in_proj_")
    parts = zip("qkv", weight.chunk(3), strict=True)
    return {f"vision.{layer}.self_attn.{part}_proj.{kind}": value.clone() for part, value in parts}
