"""Text features in several files: shards, and an index that joins them, as `latent_shards` of latents.

A shard holds the texts of a run of items. The index holds where every text begins in the joined tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.latent_shards import below, complete
from nanogen.errors import UserError
from nanogen.files import label

TEXT = ("text", 1)  # format and version of a cache, and of the index of one
SHARD = ("text_shard", 1)
OF_THE_CACHE = ("kinds", "width", "encoder_hash", "data_hash", "texts")


def join_texts(stage: Mapping[str, Any], files: Sequence[Path], output: Path) -> None:
    """Write ``output``, the index of the shards ``files`` of a `text` stage; copies no features.

    It names the shards relative to its own folder, so both can be moved together. Raises UserError
    where a shard is missing, damaged or of another configuration.
    """
    shards = complete(files, SHARD, stage["hash"], OF_THE_CACHE)
    first, parts, lengths = shards[0][1], [], []
    for path, _ in shards:
        with hdf5.opened(path, *SHARD) as file:
            parts.append(hdf5.stored(file, "tokens"))
            lengths.append(np.diff(file["offsets"][:]))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    if len(offsets) - 1 != first["texts"]:
        raise UserError(f"{output}: its shards do not hold {first['texts']} texts; make them again")
    layout = h5py.VirtualLayout((int(offsets[-1]), first["width"]), np.float16)
    entries, start = [], 0
    for (path, header), part in zip(shards, parts, strict=True):
        name, count = below(path, output.parent), part.shape[0]
        if count:
            source = h5py.VirtualSource(name, "tokens", part.shape, np.float16)
            layout[start : start + count] = source
        entries.append({"file": name, "rows": count, "content": header["content"]})
        start += count
    header = {key: first[key] for key in OF_THE_CACHE} | {"shards": json.dumps(entries)}
    with hdf5.create(output, {**label(*TEXT, stage["hash"]), **header}) as index:
        index.create_virtual_dataset("tokens", layout)
        index.create_dataset("offsets", data=offsets)
