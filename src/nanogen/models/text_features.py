"""Text features: the last hidden state of a frozen language model at every token of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.batching import batches
from nanogen.models.loading import load_network
from nanogen.weights import first_line

BATCH = 64


class TextEncoder:
    """A frozen text encoder with its tokenizer, which truncates at ``max_tokens``.

    Args:
        folder: encoder and tokenizer, as ``save_pretrained`` writes them.
        model: its resolved configuration.
        device: where it runs; by default a GPU if there is one.

    Raises:
        UserError: weights or the tokenizer are missing, or the width differs from the configuration's.
    """

    def __init__(self, folder: Path, model: Model, device: torch.device | None = None):
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[model.precision]
        self.network = load_network(folder, model.model_class).to(self.device, dtype)
        self.tokenizer = _tokenizer(folder)
        self.max_tokens = model.required("max_tokens")
        self.width = int(self.network.config.hidden_size)
        if model.width not in (None, self.width):
            raise UserError(
                f"{folder}: its features are {self.width} wide, but the configuration of "
                f"{model.name} says width {model.width}; correct 'width', or give that model's folder"
            )

    def token_ids(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Tokenize texts.

        The null prompt "" has no tokens, even if the tokenizer would add special ones.

        Returns:
            The token ids of every text, at most ``max_tokens``, and the number of texts that were
            truncated.
        """
        given = self.tokenizer(list(texts))["input_ids"] if texts else []
        ids = [row if text else [] for text, row in zip(texts, given, strict=True)]
        cut = sum(len(row) > self.max_tokens for row in ids)
        return [row[: self.max_tokens] for row in ids], cut

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of every text before truncation."""
        given = self.tokenizer(list(texts))["input_ids"] if texts else []
        return [len(row) if text else 0 for text, row in zip(texts, given, strict=True)]

    @torch.no_grad()
    def features(self, ids: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Compute the last hidden state of every text, float32 (L, width), L its number of tokens.

        Equal texts are encoded once. Batches contain texts of similar length, padded on the right.
        """
        distinct = sorted({tuple(row) for row in ids}, key=lambda row: (len(row), row))
        encoded: dict[tuple[int, ...], np.ndarray] = {(): np.zeros((0, self.width), np.float32)}
        distinct = [row for row in distinct if row]
        for part in batches(len(distinct), BATCH):
            rows = distinct[part]
            encoded.update(zip(rows, self._encode(rows), strict=True))
        return [encoded[tuple(row)] for row in ids]

    def _encode(self, rows: Sequence[tuple[int, ...]]) -> Iterator[np.ndarray]:
        lengths = [len(row) for row in rows]
        padded = torch.zeros(len(rows), max(lengths), dtype=torch.int64)
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = torch.tensor(row)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        hidden = (
            self.network(
                input_ids=padded.to(self.device),
                attention_mask=mask.long().to(self.device),
                use_cache=False,
            )
            .last_hidden_state.float()
            .cpu()
        )
        return (states[:length].numpy() for states, length in zip(hidden, lengths, strict=True))


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").exists():
        raise UserError(f"{folder} holds no tokenizer: there is no tokenizer.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, padding_side="right"
        )
    except Exception as error:  # the Rust library `tokenizers` raises plain exceptions
        raise UserError(f"the tokenizer in {folder} cannot be loaded: {first_line(error)}") from error
    return tokenizer
