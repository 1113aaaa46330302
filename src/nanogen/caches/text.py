"""Write caches of text features from a frozen language model, in one file or in shards."""

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
from nanogen.models.batching import progress
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
    """Write the cache of a ``text`` stage, format ``text`` 1 (docs/formats.md).

    Texts are read in parts, twice: first to count their tokens, then to encode them. If two kinds of
    captions of an item are equal, the text is stored once.

    Args:
        stage: the ``text`` stage.
        texts: kind of caption -> texts; at least one kind, and the same number of texts for each.
        encoder: encodes the texts.
        output: the HDF5 file.
        share: write only this shard, format ``text_shard`` 1; `join_texts` joins the shards. They are
            cut between groups of texts that are encoded together, so features are equal bit for bit.
    """
    items, group = len(next(iter(texts.values()))), max(1, CHUNK // len(texts))
    rows = share.rows(items, group) if share else range(items)
    parts = [slice(start, min(start + group, rows.stop)) for start in rows[::group]]
    offsets, places = _measured(texts, parts, encoder)
    count, shape = len(rows) * len(texts), (int(offsets[-1]), encoder.width)
    announce(output, f"texts, {shape[0]} tokens of width {shape[1]}", count, 2 * shape[0] * shape[1])
    header = _label(stage, items * len(texts), share) | {
        "kinds": json.dumps(list(texts)),
        "width": encoder.width,
        "encoder_hash": stage.expects["encoder"],
        "data_hash": stage.expects["data"],
    }
    with hdf5.create(output, header) as file:
        tokens = file.create_dataset("tokens", shape, np.float16)
        file.create_dataset("offsets", data=offsets)
        if len(places) > len(offsets) - 1:
            file.create_dataset("places", data=places)
        content = _write(tokens, texts, parts, encoder)
        if share:
            file.attrs["content"] = content


def _stored(texts: Mapping[str, Sequence[str]], part: slice) -> tuple[list[str], list[int]]:
    """Return the distinct texts of each item of a part, and the index of each of its texts in them."""
    stored: list[str] = []
    places = []
    for item in zip(*(kind[part] for kind in texts.values()), strict=True):
        own = {text: len(stored) + k for k, text in enumerate(dict.fromkeys(item))}
        stored += own
        places += [own[text] for text in item]
    return stored, places


def _measured(
    texts: Mapping[str, Sequence[str]], parts: Sequence[slice], encoder: TextEncoder
) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets of the stored texts and the index of each text among them.

    The offsets are int64 (stored + 1,), the indices int64 (texts,).
    """
    lengths, places, count, cut = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)], 0, 0
    for part in progress(parts, "tokens"):
        stored, where = _stored(texts, part)
        own = np.array(encoder.lengths(stored), np.int64)
        lengths.append(np.minimum(own, encoder.max_tokens))
        places.append(count + np.array(where, np.int64))
        count, cut = count + len(stored), cut + int((own[where] > encoder.max_tokens).sum())
    every = np.concatenate(places)
    if cut:
        log.warning("%d of %d texts were truncated to %d tokens", cut, len(every), encoder.max_tokens)
    return np.cumsum(np.concatenate(lengths)), every


def _label(stage: CacheStage, texts: int, share: Share | None) -> dict[str, Any]:
    if not share:
        return label(*TEXT, stage.hash)
    return label(*TEXT_SHARD, stage.hash, shard=share.number, shards=share.count, texts=texts)


def _write(
    tokens: h5py.Dataset,
    texts: Mapping[str, Sequence[str]],
    parts: Sequence[slice],
    encoder: TextEncoder,
) -> str:
    """Encode and write the texts in order; return a checksum of their features."""
    content, start = hashlib.blake2b(digest_size=16), 0
    for part in progress(parts, "text"):
        ids, _ = encoder.token_ids(_stored(texts, part)[0])
        if not any(ids):
            continue  # only null prompts
        half = finite_half(np.concatenate(encoder.features(ids)), "text features")
        tokens[start : start + len(half)] = half
        start += len(half)
        content.update(half.tobytes())
    return content.hexdigest()
