"""CLIP-FlanT5 (Lin et al. 2024, arXiv 2404.01291): FlanT5 with image patches among its input tokens.

The patches are features of the second-to-last block of CLIP ViT-L/14 at 336 pixels, without the class
token. A two-layer MLP projects them to the width of FlanT5. The network is built from classes of
transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

CLASS = "ClipFlanT5"
SKIPPED = ("language.encoder.embed_tokens.", "language.decoder.embed_tokens.")  # the shared embedding


class ClipFlanT5(nn.Module):
    """The network CLIP-FlanT5.

    Args:
        vision_config: arguments of CLIPVisionConfig.
        text_config: arguments of T5Config.
    """

    def __init__(self, vision_config: Mapping[str, Any], text_config: Mapping[str, Any]):
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel, T5Config, T5ForConditionalGeneration

        sizes = T5Config(**{**text_config, "tie_word_embeddings": False})
        sizes.tie_word_embeddings = False  # T5Config overrides it; the output layer has its own weights
        self.vision = CLIPVisionModel(CLIPVisionConfig(**vision_config))
        width = self.vision.config.hidden_size
        self.projector = nn.Sequential(
            nn.Linear(width, sizes.d_model), nn.GELU(), nn.Linear(sizes.d_model, sizes.d_model)
        )
        self.language = T5ForConditionalGeneration(sizes)
        self.language.set_input_embeddings(self.language.shared)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to features (N, patches, width of FlanT5)."""
        states = self.vision(pixels, output_hidden_states=True).hidden_states
        return self.projector(states[-2][:, 1:])

    def answer_logits(
        self, seen: Tensor, before: Tensor, after: Sequence[Tensor], answer: Tensor
    ) -> Tensor:
        """Compute the logits at every position of an answer, (N, T, vocabulary).

        Args:
            seen: the result of `encode_images` for N images.
            before: tokens before every image, int64 (A,).
            after: tokens after each image, N tensors int64 (B_i,).
            answer: tokens of the answer, int64 (T,).
        """
        embed = self.language.get_input_embeddings()
        rows = [
            torch.cat([embed(before), image, embed(words)])
            for image, words in zip(seen, after, strict=True)
        ]
        inputs = pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=inputs.device)
        mask = torch.arange(inputs.shape[1], device=inputs.device) < lengths[:, None]
        start = torch.full((1,), self.language.config.decoder_start_token_id, device=inputs.device)
        given = torch.cat([start, answer[:-1]]).expand(len(rows), -1)
        return self.language(
            inputs_embeds=inputs, attention_mask=mask.long(), decoder_input_ids=given, use_cache=False
        ).logits


def from_released(name: str) -> str | None:
    """Return our name of a released weight; None if the network does not have it or shares it."""
    tower = "vision_tower.vision_tower."
    if name.startswith(tower):
        renamed = "vision." + name.removeprefix(tower).removeprefix("vision_model.")
    elif name.startswith("mm_projector."):
        renamed = "projector." + name.removeprefix("mm_projector.")
    else:
        renamed = "language." + name
    return None if renamed.startswith(SKIPPED) or renamed.endswith(".position_ids") else renamed
