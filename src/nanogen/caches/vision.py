"""Write caches of image features: a data set encoded by a frozen vision encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanogen.caches.files import VISION
from nanogen.caches.half_precision import finite_half
from nanogen.caches.latents import BATCH
from nanogen.config.cache_stage import CacheStage
from nanogen.data import hdf5
from nanogen.data.hdf5 import announce
from nanogen.data.pixels import to_signed
from nanogen.files import label
from nanogen.models.batching import batches, gather, progress
from nanogen.models.vision_features import Vision


@torch.no_grad()
def write_features(stage: CacheStage, images: Any, encoder: Vision, output: Path) -> None:
    """Write the cache of a ``vision`` stage, format ``vision`` 1 (docs/formats.md).

    Args:
        stage: the ``vision`` stage.
        images: an ImageFile, read in order, so that repeated runs write the same file.
        encoder: encodes the images.
        output: the HDF5 file.
    """
    part, device = stage.part, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder.to(device)
    encode = encoder.patches if part == "patches" else encoder.cls
    grid = (encoder.rows, encoder.rows) if part == "patches" else ()
    shape = (len(images), encoder.width, *grid)
    announce(output, f"{part} features", len(images), 2 * int(np.prod(shape)))
    with hdf5.create(output, _header(stage)) as file:
        features = file.create_dataset(part, shape, np.float16)
        for rows in progress(list(batches(len(images), BATCH)), f"{part} features"):
            encoded = encode(to_signed(gather(images.images, rows).to(device))).cpu().numpy()
            features[rows] = finite_half(encoded, f"features of {images.path}")
        file.create_dataset("labels", data=np.asarray(images.labels, np.int64))


def _header(stage: CacheStage) -> dict[str, Any]:
    return {
        **label(*VISION, stage.hash),
        "encoder": stage.model.name,
        "encoder_hash": stage.expects["encoder"],
        "data_hash": stage.expects["data"],
        "part": stage.part,
        "dtype": stage.dtype,
    }
