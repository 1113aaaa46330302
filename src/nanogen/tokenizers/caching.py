"""Latent caches: a data set seen once through a frozen tokenizer."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.caches import LATENTS
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.models.training import batches, gather, progress
from nanogen.tokenizers.base import Tokenizer

log = logging.getLogger(__name__)
BATCH = 128


def announce(path: Path, what: str, count: int, size: int) -> None:
    """Log how large the file will be; raise UserError if the disk cannot hold it."""
    log.info("%s: %d %s, %.1f MB", path, count, what, size / 1e6)
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{path} needs {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free on its disk; free "
            "some space, or put results/ on another disk"
        )


def finite_half(values: np.ndarray, what: str) -> np.ndarray:
    """``values`` as float16; raises UserError where one does not fit."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise UserError(f"{what} are not finite numbers below 65504, so float16 cannot hold them")
    return half


def write_latents(stage: Mapping[str, Any], images: Any, tokenizer: Tokenizer, output: Path) -> None:
    """Write ``output``, format ``latents`` 1 (docs/formats.md), from a stage `latents`.

    Args:
        images: an ImageFile; it is read in order, ``BATCH`` images at a time.

    The file is identical whatever ran before: the images, the weights and the batch size fix it.
    """
    shape = (len(images), *tokenizer.latent_shape)
    announce(output, f"latents of {'x'.join(map(str, shape[1:]))}", len(images), 2 * int(np.prod(shape)))
    with hdf5.create(output, _header(stage, shape)) as file:
        latents = file.create_dataset("latents", shape, np.float16)
        for part in progress(list(batches(len(images), BATCH)), "latents"):
            _write_part(latents, part, tokenizer, images)
        file.create_dataset("labels", data=np.asarray(images.labels, np.int64))


def _header(stage: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        **label(*LATENTS, stage["hash"]),
        "tokenizer": stage["model"]["name"],
        "tokenizer_hash": stage["expects"]["tokenizer"],
        "data_hash": stage["expects"]["data"],
        "dtype": stage["dtype"],
        "shape": list(shape),
    }


def _write_part(latents: h5py.Dataset, part: slice, tokenizer: Tokenizer, images: Any) -> None:
    encoded = tokenizer.encode(gather(images.images, part)).numpy()
    if encoded.shape[1:] != latents.shape[1:]:
        raise UserError(
            f"{images.path}: an image of {images.images.shape[1]} pixels becomes a latent of "
            f"{encoded.shape[1:]}, but the tokenizer's configuration says {latents.shape[1:]}; "
            "data.resolution and the model's 'latent' do not fit"
        )
    latents[part] = finite_half(encoded, f"latents of {images.path}")
