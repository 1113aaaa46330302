"""Extract the features of a sample set in several processes.

Each process writes the features of its images to a file next to the output, and the first process joins
these files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.config.score_stages import FeaturesStage
from nanogen.data import hdf5
from nanogen.data.image_sets import of_hdf5
from nanogen.files import label
from nanogen.metrics import class_labels
from nanogen.metrics.extractors import NETWORK_BATCH
from nanogen.metrics.feature_extraction import (
    GENERATED,
    SPATIAL,
    Kinds,
    extract,
    loaded,
    log_extracted,
    write_spatial,
)
from nanogen.metrics.frechet import Moments
from nanogen.training.processes import Processes, share

PART = ("features-part", 1)
ROWS = 4096  # copied at a time


def write_together(
    stage: FeaturesStage,
    samples: Path,
    folders: Mapping[str, Path],
    output: Path,
    batch: int,
    group: Processes,
    header: Mapping[str, Any],
) -> None:
    """Write features like `write_features`, in a group of processes that all call this function.

    Parts are files rather than messages, because they are as large as the result, and memory must not
    grow with the number of images. Raises UserError like `write_features`.
    """
    count = len(of_hdf5(samples, GENERATED))
    # cut between two batches of the network, so that batches are the same as in a single process
    own = share(count, group.rank, group.world, NETWORK_BATCH)
    images = of_hdf5(samples, GENERATED, *own)
    with group.folder_beside(output) as folder:
        names = [folder / f"{rank}.h5" for rank in range(group.world)]
        with hdf5.create(names[group.rank], label(*PART, stage.hash)) as file:
            for _, extractor, first in loaded(stage, folders):
                part = file.create_group(extractor.name)
                kinds = Kinds(logits=class_labels.judges(stage, extractor) or first, spatial=first)
                extract(part, extractor, images, batch, kinds, part=True, bar=group.main)
                if group.main:
                    log_extracted(extractor, count)
        group.barrier()
        if group.main:
            with ExitStack() as stack, hdf5.create(output, header) as file:
                join([stack.enter_context(hdf5.opened(n, *PART, stage.hash)) for n in names], file)
                class_labels.write(stage, samples, folders, file)
    group.barrier()


def join(parts: Sequence[h5py.File], file: h5py.File) -> None:
    """Write the parts to one file of features, in the order of their images."""
    for name, first in parts[0].items():
        group = file.create_group(name)
        for kind in first:  # not a set: its order, and thus the file, would differ between runs
            if kind != SPATIAL:
                _join_rows([part[name][kind] for part in parts], group, kind)
        if SPATIAL in first:
            _join_spatial([part[name] for part in parts], group)


def _join_rows(parts: Sequence[h5py.Dataset], group: h5py.Group, kind: str) -> None:
    count, width = sum(map(len, parts)), parts[0].shape[1]
    whole, done = group.create_dataset(kind, (count, width), np.float32), 0
    for part in parts:
        for rows in _rows(part):
            whole[done : done + len(rows)] = rows
            done += len(rows)


def _join_spatial(parts: Sequence[h5py.Group], group: h5py.Group) -> None:
    """Compute the moments from all rows in order.

    If the moments of parts were merged, they and sFID would differ from those of a single process in the
    last digits.
    """
    parts = [part for part in parts if SPATIAL in part]  # absent where a process had no images
    places = Moments(parts[0][SPATIAL].shape[1])
    for part in parts:
        for rows in _rows(part[SPATIAL]):
            places.add(rows)
    write_spatial(group, places, GENERATED)


def _rows(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    for start in range(0, len(dataset), ROWS):
        yield dataset[start : start + ROWS]
