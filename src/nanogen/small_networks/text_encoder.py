"""Train the small text encoder: a byte-level BPE tokenizer and a Qwen3 language model on captions.

The last hidden state of a language model predicts the next token. In a large model it still represents
the text so far. A model that is trained for a minute forgets it, and no image model could follow its
captions. Linear heads, which are not saved, are therefore trained as well: they predict the current
token and the set of all tokens so far from the hidden state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError
from nanogen.models.batching import batches
from nanogen.models.initialisation import checked, seeded
from nanogen.models.loading import LibraryNetwork, save_network
from nanogen.small_networks.training import train

VOCABULARY = 512  # the maximum; captions of the small study need fewer tokens
END = "<|endoftext|>"
EVALUATION_BATCH = 250
CAPTIONS = ("short", "dense")


def train_tokenizer(captions: Sequence[str], vocabulary: int = VOCABULARY) -> Any:
    """Train a byte-level BPE, which covers any text, as a PreTrainedTokenizerFast (right padding)."""
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


def build(model: Model, vocabulary: int, pad: int) -> nn.Module:
    """Build an untrained Qwen3ForCausalLM with the configuration's architecture.

    Raises UserError for another class, or if the width does not fit the architecture.
    """
    from transformers import Qwen3Config, Qwen3ForCausalLM

    if model.model_class != "Qwen3Model":
        raise UserError(
            f"config/models/{model.name}.yaml: only Qwen3Model can be trained here, not "
            f"{model.model_class}; set its source to download or path"
        )
    keys = checked(model.architecture, Qwen3Config().to_dict(), model.name)
    own = {"max_position_embeddings": model.max_tokens, "tie_word_embeddings": True}
    special = {"vocab_size": vocabulary, "pad_token_id": pad, "bos_token_id": None, "eos_token_id": pad}
    config = Qwen3Config(**{**own, **keys, **special})
    if config.hidden_size != model.width:
        raise UserError(
            f"config/models/{model.name}.yaml: width {model.width} differs from "
            f"architecture.hidden_size {config.hidden_size}; set them to the same number"
        )
    return Qwen3ForCausalLM(config)


def token_matrix(tokenizer: Any, captions: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
    """Tokenize captions: token ids int64 (N, L), padded on the right, and lengths (N,)."""
    rows = [ids[:longest] for ids in tokenizer(list(captions))["input_ids"]]
    lengths = torch.tensor([len(ids) for ids in rows])
    matrix = np.full((len(rows), int(lengths.max())), tokenizer.pad_token_id, np.int64)
    for row, ids in zip(matrix, rows, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(matrix), lengths


class Recall(nn.Module):
    """Linear heads that predict the current token and the set of tokens so far from the hidden state."""

    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.vocabulary = vocabulary
        self.current = nn.Linear(width, vocabulary)
        self.so_far = nn.Linear(width, vocabulary)
        nn.init.constant_(self.so_far.bias, -4.0)  # a caption contains few tokens of the vocabulary

    def said(self, ids: Tensor) -> Tensor:
        """Return which tokens are at or before each position, float32 0/1 (B, L, vocabulary)."""
        return F.one_hot(ids, self.vocabulary).cumsum(1).clamp(max=1).float()

    def loss(self, hidden: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the sum of both cross-entropies, averaged over tokens that are not padding.

        ``hidden`` is (B, L, width), ``ids`` (B, L), ``lengths`` (B,).
        """
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        current = F.cross_entropy(self.current(hidden[real]), ids[real])
        said = F.binary_cross_entropy_with_logits(
            self.so_far(hidden[real]), self.said(ids)[real], reduction="sum"
        )
        return current + said / real.sum()

    def whole(self, hidden: Tensor, ids: Tensor, lengths: Tensor) -> int:
        """Count the captions whose set of tokens is predicted exactly at their last token."""
        last = (torch.arange(len(ids)), lengths - 1)
        right = (self.so_far(hidden[last]) > 0) == (self.said(ids)[last] > 0)
        return int(right.all(1).sum())


class Reader(nn.Module):
    """The language model and the heads of `Recall`, trained together."""

    def __init__(self, network: LibraryNetwork, vocabulary: int):
        super().__init__()
        self.network = network
        self.recall = Recall(network.config.hidden_size, vocabulary)

    def hidden(self, ids: Tensor) -> Tensor:
        # padding is on the right and attention is causal, so no mask is needed
        return self.network.model(input_ids=ids, use_cache=False).last_hidden_state

    def next_token(self, hidden: Tensor, ids: Tensor, lengths: Tensor) -> tuple[Tensor, int]:
        """Return the summed cross-entropy (nats) of all but the first tokens, and their number."""
        real = (torch.arange(ids.shape[1]) < lengths[:, None])[:, 1:]
        logits = self.network.lm_head(hidden[:, :-1][real])
        return F.cross_entropy(logits, ids[:, 1:][real], reduction="sum"), int(real.sum())


def train_text_encoder(stage: ModelStage, images: Any, val: Any, folder: Path) -> dict[str, float]:
    """Train a text encoder on the captions of ``images``, and save it with its tokenizer in ``folder``.

    ``images`` and ``val`` are ImageFiles. Returns the quality on ``val``: ``perplexity`` per token,
    ``recall`` (fraction of captions whose set of tokens a linear head predicts exactly), and the numbers
    ``vocabulary`` (tokens in use) and ``longest`` (tokens of the longest caption).
    """
    model = stage.model
    captions = [text for kind in CAPTIONS for text in images.captions(kind)]
    tokenizer = train_tokenizer(captions)
    longest = model.required("max_tokens")
    ids, lengths = token_matrix(tokenizer, captions, longest)
    with seeded(stage.seed, "build", model.name, "weights"):
        reader = Reader(build(model, len(tokenizer), tokenizer.pad_token_id), len(tokenizer))

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch, count = _trimmed(ids[rows], lengths[rows])
        hidden = reader.hidden(batch)
        total, tokens = reader.next_token(hidden, batch, count)
        return total / tokens + reader.recall.loss(hidden, batch, count)

    train(reader, loss, stage, len(captions))
    save_network(reader.network.model, folder)
    tokenizer.save_pretrained(folder)
    held_out = [text for kind in CAPTIONS for text in val.captions(kind)]
    return {
        **_quality(reader, *token_matrix(tokenizer, held_out, longest)),
        "vocabulary": len(tokenizer),
        "longest": int(lengths.max()),
    }


def _trimmed(ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    return ids[:, : int(lengths.max())], lengths


@torch.no_grad()
def _quality(reader: Reader, ids: Tensor, lengths: Tensor) -> dict[str, float]:
    nats, tokens, whole = 0.0, 0, 0
    for part in batches(len(ids), EVALUATION_BATCH):
        batch, count = _trimmed(ids[part], lengths[part])
        hidden = reader.hidden(batch)
        loss, number = reader.next_token(hidden, batch, count)
        nats, tokens = nats + loss.item(), tokens + number
        whole += reader.recall.whole(hidden, batch, count)
    return {"perplexity": math.exp(nats / tokens), "recall": whole / len(ids)}
