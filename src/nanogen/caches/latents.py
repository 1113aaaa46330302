"""Write caches of latents: a data set encoded by a frozen tokenizer, in one file or in shards."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from nanogen.caches.half_precision import finite_half
from nanogen.caches.shards import LATENT_SHARD, LATENTS, Share
from nanogen.config.cache_stage import CacheStage
from nanogen.data import hdf5
from nanogen.data.hdf5 import announce
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.hidden import MARK
from nanogen.models.batching import batches, gather, progress
from nanogen.tokenizers.base import Tokenizer

log = logging.getLogger(__name__)
BATCH = 128
FLOAT16 = 2  # bytes


def write_latents(stage: CacheStage, images: Any, tokenizer: Tokenizer, output: Path) -> None:
    """Write the cache of a ``latents`` stage, format ``latents`` 1 (docs/formats.md).

    The file depends only on the images, the weights and the batch size.

    Args:
        stage: the ``latents`` stage.
        images: an ImageFile, read in order, ``BATCH`` images at a time.
        tokenizer: encodes the images.
        output: the HDF5 file.
    """
    count, size = len(images), _size(images, tokenizer)
    announce(output, f"latents of {_shape_text(tokenizer)}", count, size)
    with hdf5.create(output, label(*LATENTS, stage.hash) | _cache(stage, images, tokenizer)) as file:
        _write(file, range(count), tokenizer, images)


def write_shard(
    stage: CacheStage, images: Any, tokenizer: Tokenizer, output: Path, share: Share
) -> None:
    """Write one shard of a cache of latents, format ``latent_shard`` 1; `join_latents` joins them.

    All shards are in one folder. Raises UserError at the start if the disk has no space for the shards
    that are still missing.
    """
    rows, size = share.rows(len(images), BATCH), _size(images, tokenizer)
    log.info(
        "%s: %.1f MB of all shards' %.1f MB", output, size * len(rows) / len(images) / 1e6, size / 1e6
    )
    written = _on_disk(output, share)
    announce(output.parent, f"latents of {_shape_text(tokenizer)}", len(images), size, written)
    header = label(*LATENT_SHARD, stage.hash, shard=share.number, shards=share.count)
    with hdf5.create(output, header | _cache(stage, images, tokenizer)) as file:
        file.attrs["content"] = _write(file, rows, tokenizer, images)


def _shape_text(tokenizer: Tokenizer) -> str:
    return "x".join(map(str, tokenizer.latent_shape))


def _size(images: Any, tokenizer: Tokenizer) -> int:
    return FLOAT16 * len(images) * int(np.prod(tokenizer.latent_shape))


def _on_disk(output: Path, share: Share) -> int:
    """Return the bytes of this cache's shards, whose names differ from that of ``output`` in the number.

    Those being written, in hidden folders, are included.
    """
    name = escape(output.name).replace(f"{share.number}-of-{share.count}", f"*-of-{share.count}")
    size, folder = 0, output.parent
    for file in (*folder.glob(name), *folder.glob(f".{name}{MARK}*/{name}")):
        with suppress(FileNotFoundError):  # renamed meanwhile
            size += 512 * file.stat().st_blocks
    return size


def _cache(stage: CacheStage, images: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the part of the header that a cache shares with all of its shards."""
    return {
        "tokenizer": stage.model.name,
        "tokenizer_hash": stage.expects["tokenizer"],
        "data_hash": stage.expects["data"],
        "dtype": stage.dtype,
        "shape": [len(images), *tokenizer.latent_shape],
    }


def _write(file: h5py.File, rows: range, tokenizer: Tokenizer, images: Any) -> str:
    """Write latents and labels of these images; return a checksum of the latents."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = tokenizer.to(device)
    latents = file.create_dataset("latents", (len(rows), *tokenizer.latent_shape), np.float16)
    content = hashlib.blake2b(digest_size=16)
    for part in progress(list(batches(len(rows), BATCH)), "latents"):
        taken = slice(rows.start + part.start, rows.start + part.stop)
        encoded = tokenizer.encode(gather(images.images, taken).to(device)).cpu().numpy()
        latents[part] = half = _fitting(encoded, latents, images)
        content.update(half.tobytes())
    file.create_dataset("labels", data=np.asarray(images.labels[rows.start : rows.stop], np.int64))
    return content.hexdigest()


def _fitting(encoded: np.ndarray, latents: h5py.Dataset, images: Any) -> np.ndarray:
    if encoded.shape[1:] != latents.shape[1:]:
        raise UserError(
            f"{images.path}: an image of {images.images.shape[1]} pixels becomes a latent of "
            f"{encoded.shape[1:]}, but the tokenizer's configuration says {latents.shape[1:]}; "
            "correct data.resolution or the model's 'latent'"
        )
    return finite_half(encoded, f"latents of {images.path}")
