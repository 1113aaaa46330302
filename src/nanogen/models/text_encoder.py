"""The small text encoder: a byte-level BPE tokenizer and a Qwen3 trained on next tokens of captions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.errors import UserError
from nanogen.models.loading import save_network
from nanogen.models.training import batches, checked, seeded, train

VOCABULARY = 512  # the most; captions of the small study need fewer
END = "<|endoftext|>"
IGNORED = -100  # label of a padded position
EVALUATION_BATCH = 250
CAPTIONS = ("short", "dense")


def train_tokenizer(captions: Sequence[str], vocabulary: int = VOCABULARY) -> Any:
    """A byte-level BPE (any text can be written) as a PreTrainedTokenizerFast, padding on the right."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(captions)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=END, eos_token=END, padding_side="right"
    )


def build(model: Mapping[str, Any], vocabulary: int, pad: int) -> nn.Module:
    """An untrained Qwen3ForCausalLM of the configuration's architecture."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    if model["model_class"] != "Qwen3Model":
        raise UserError(
            f"config/models/{model['name']}.yaml: only Qwen3Model can be trained here, not "
            f"{model['model_class']}; set its source to download or path"
        )
    keys = checked(model["architecture"], Qwen3Config().to_dict(), model["name"])
    own = {"max_position_embeddings": model["max_tokens"], "tie_word_embeddings": True}
    special = {"vocab_size": vocabulary, "pad_token_id": pad, "bos_token_id": None, "eos_token_id": pad}
    config = Qwen3Config(**{**own, **keys, **special})
    if config.hidden_size != model["width"]:
        raise UserError(
            f"config/models/{model['name']}.yaml: width {model['width']} is not "
            f"architecture.hidden_size {config.hidden_size}"
        )
    return Qwen3ForCausalLM(config)


def token_matrix(tokenizer: Any, captions: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
    """Token ids int64 (N, L), padded on the right, and lengths (N,)."""
    rows = [ids[:longest] for ids in tokenizer(list(captions))["input_ids"]]
    lengths = torch.tensor([len(ids) for ids in rows])
    matrix = np.full((len(rows), int(lengths.max())), tokenizer.pad_token_id, np.int64)
    for row, ids in zip(matrix, rows, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(matrix), lengths


def next_token_loss(network: nn.Module, ids: Tensor, lengths: Tensor) -> tuple[Tensor, int]:
    """Summed cross-entropy (nats) of every caption's tokens after its first, and their number."""
    ids = ids[:, : int(lengths.max())]
    labels = ids.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], IGNORED)[:, 1:]
    # padding stands on the right, and attention is causal: no mask is needed
    logits = network(input_ids=ids[:, :-1], use_cache=False).logits
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return loss, int((labels != IGNORED).sum())


def train_text_encoder(
    stage: Mapping[str, Any], images: Any, val: Any, folder: Path
) -> dict[str, float]:
    """Train on the captions of ``images`` (an ImageFile), save to ``folder``; its quality on ``val``.

    The base model is saved, and the tokenizer beside it. Quality: ``perplexity`` per token,
    ``vocabulary`` (tokens in use) and ``longest`` (tokens of the longest caption).
    """
    model = stage["model"]
    captions = [text for kind in CAPTIONS for text in images.captions(kind)]
    tokenizer = train_tokenizer(captions)
    ids, lengths = token_matrix(tokenizer, captions, model["max_tokens"])
    with seeded(stage["seed"], "build", model["name"], "weights"):
        network = build(model, len(tokenizer), tokenizer.pad_token_id)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        total, count = next_token_loss(network, ids[rows], lengths[rows])
        return total / count

    train(network, loss, stage, len(captions))
    save_network(network.model, folder)
    tokenizer.save_pretrained(folder)
    held_out = [text for kind in CAPTIONS for text in val.captions(kind)]
    return {
        "perplexity": _perplexity(network, *token_matrix(tokenizer, held_out, model["max_tokens"])),
        "vocabulary": len(tokenizer),
        "longest": int(lengths.max()),
    }


@torch.no_grad()
def _perplexity(network: nn.Module, ids: Tensor, lengths: Tensor) -> float:
    parts = [
        next_token_loss(network, ids[part], lengths[part])
        for part in batches(len(ids), EVALUATION_BATCH)
    ]
    return math.exp(sum(loss.item() for loss, _ in parts) / sum(count for _, count in parts))
