"""Writing of text caches: a frozen language model's features of texts, in one file or in shards."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.caches.half_precision import finite_half
from nanogen.caches.shards import TEXT, TEXT_SHARD, Share
from nanogen.config.cache_stage import CacheStage
from nanogen.data import hdf5
from nanogen.data.hdf5 import announce
from nanogen.files import label
from nanogen.models.batching import batches, progress
from nanogen.models.text_features import TextEncoder

log = logging.getLogger(__name__)
CHUNK = 8192  # texts whose features are held in memory at once


def write_text_features(
    stage: CacheStage,
    texts: Mapping[str, Sequence[str]],
    encoder: TextEncoder,
    output: Path,
    share: Share | None = None,
) -> None:
    """Write ``output``, format ``text`` 1 (docs/formats.md), from a stage `text`.

    Args:
        texts: kind of caption -> texts, the same number for every kind, and at least one kind.
        share: write only this shard, format ``text_shard`` 1; `join_texts` joins the shards. They are
            cut between groups of texts that are encoded together, so the features are equal to the bit.
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
        "encoder_hash": stage.expects["encoder"],
        "data_hash": stage.expects["data"],
    }
    with hdf5.create(output, header) as file:
        tokens = file.create_dataset("tokens", shape, np.float16)
        file.create_dataset("offsets", data=offsets)
        content = _write(tokens, ids, offsets, encoder)
        if share:
            file.attrs["content"] = content


def _label(stage: CacheStage, texts: int, share: Share | None) -> dict[str, Any]:
    if not share:
        return label(*TEXT, stage.hash)
    return label(*TEXT_SHARD, stage.hash, shard=share.number, shards=share.count, texts=texts)


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
