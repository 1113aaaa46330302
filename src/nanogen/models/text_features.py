"""Text features: a frozen language model's last hidden state over the tokens of every text."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn

from nanogen.data import hdf5
from nanogen.data.latent_shards import Share
from nanogen.data.space import announce
from nanogen.data.text_shards import SHARD, TEXT
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.models.loading import load_network
from nanogen.models.training import batches, progress
from nanogen.tokenizers.caching import finite_half

log = logging.getLogger(__name__)
CHUNK = 8192  # texts whose features are held in memory at once
BATCH = 64


class TextEncoder:
    """A frozen text encoder with its tokenizer, truncating at ``max_tokens``; on a GPU if there is one.

    Args:
        folder: as ``save_pretrained`` writes both.
        model: the resolved `nanogen.config.schema.Model` as a dictionary.

    Raises UserError where weights or the tokenizer are missing, or the width is another.
    """

    def __init__(self, folder: Path, model: Mapping[str, Any]):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network: nn.Module = load_network(folder, model["model_class"]).to(self.device)
        self.tokenizer = _tokenizer(folder)
        self.max_tokens = int(model["max_tokens"])
        self.width = int(self.network.config.hidden_size)
        if model.get("width") not in (None, self.width):
            raise UserError(
                f"{folder}: its features are {self.width} wide, but the configuration of "
                f"{model.get('name')} says width {model['width']}"
            )

    def token_ids(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids per text, at most ``max_tokens``, and how many texts had to be cut.

        The null prompt "" has none, whatever the tokenizer would add to it.
        """
        given = self.tokenizer(list(texts))["input_ids"] if texts else []
        ids = [row if text else [] for text, row in zip(texts, given, strict=True)]
        cut = sum(len(row) > self.max_tokens for row in ids)
        return [row[: self.max_tokens] for row in ids], cut

    @torch.no_grad()
    def features(self, ids: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Last hidden state of every text, float32 (L, width), L its number of tokens.

        Equal texts are encoded once, texts of similar length together, padded on the right.
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
        hidden = self.network(
            input_ids=padded.to(self.device),
            attention_mask=mask.long().to(self.device),
            use_cache=False,
        ).last_hidden_state.cpu()
        return (states[:length].numpy() for states, length in zip(hidden, lengths, strict=True))


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").exists():
        raise UserError(f"{folder} holds no tokenizer: there is no tokenizer.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, padding_side="right"
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    return tokenizer


def write_text_features(
    stage: Mapping[str, Any],
    texts: Mapping[str, Sequence[str]],
    encoder: TextEncoder,
    output: Path,
    share: Share | None = None,
) -> None:
    """Write ``output``, format ``text`` 1 (docs/formats.md), from a stage `text`.

    Args:
        texts: kind of caption -> texts, equally many of every kind, at least one kind.
        share: write only this shard of it, format ``text_shard`` 1; `join_texts` makes a cache of all.
            Shards are cut where the texts that are held together end, so their features are the same
            to the bit.
    """
    items = len(next(iter(texts.values())))
    rows = share.rows(items, max(1, CHUNK // len(texts))) if share else range(items)
    of_the_share = (kind[rows.start : rows.stop] for kind in texts.values())
    flat = [text for item in zip(*of_the_share, strict=True) for text in item]
    ids, cut = encoder.token_ids(flat)
    if cut:
        log.warning("%d of %d texts were cut at %d tokens", cut, len(flat), encoder.max_tokens)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
    shape = (int(offsets[-1]), encoder.width)
    announce(output, f"texts, {shape[0]} tokens of width {shape[1]}", len(flat), 2 * shape[0] * shape[1])
    header = _label(stage, items * len(texts), share) | {
        "kinds": json.dumps(list(texts)),
        "width": encoder.width,
        "encoder_hash": stage["expects"]["encoder"],
        "data_hash": stage["expects"]["data"],
    }
    with hdf5.create(output, header) as file:
        tokens = file.create_dataset("tokens", shape, np.float16)
        file.create_dataset("offsets", data=offsets)
        content = _write(tokens, ids, offsets, encoder)
        if share:
            file.attrs["content"] = content


def _label(stage: Mapping[str, Any], texts: int, share: Share | None) -> dict[str, Any]:
    if not share:
        return label(*TEXT, stage["hash"])
    return label(*SHARD, stage["hash"], shard=share.number, shards=share.count, texts=texts)


def _write(
    tokens: h5py.Dataset, ids: Sequence[Sequence[int]], offsets: np.ndarray, encoder: TextEncoder
) -> str:
    """Encode the texts one after the other; returns a checksum of their features."""
    content = hashlib.blake2b(digest_size=16)
    for part in progress(list(batches(len(ids), CHUNK)), "text"):
        if offsets[part.start] == offsets[part.stop]:
            continue  # only null prompts
        half = finite_half(np.concatenate(encoder.features(ids[part])), "text features")
        tokens[offsets[part.start] : offsets[part.stop]] = half
        content.update(half.tobytes())
    return content.hexdigest()
