"""Extract features, logits and moments of images into groups of an HDF5 file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from nanogen.config.model_schema import Model
from nanogen.config.score_stages import FeaturesStage
from nanogen.data.image_sets import ImageSet
from nanogen.errors import UserError
from nanogen.metrics.frechet import Moments, few_images, require_finite
from nanogen.metrics.published_moments import PublishedMoments
from nanogen.models.card import expect_model

if TYPE_CHECKING:
    from nanogen.metrics.extractors import Extractor, Output

log = logging.getLogger(__name__)
BATCH = 128
GENERATED = "generated images"
SPATIAL = "spatial"  # the group of sFID's moments within an extractor's
FOR_FDR = "fdr"  # the group of FDr's moments, if they differ from FID's


def checked_folder(stage: FeaturesStage, model: Model, folders: Mapping[str, Path]) -> Path:
    """Return the folder given for ``model``; raise UserError if it is missing or another model's."""
    name = model.name
    if name not in folders:
        raise UserError(
            f"no folder is given for extractor {name}: give --network {name}=FOLDER, or --extractor "
            "with `nanogen reference`"
        )
    expect_model(folders[name], stage.expects[name])
    return folders[name]


def loaded(stage: FeaturesStage, folders: Mapping[str, Path]) -> Iterator[tuple[Model, Extractor, bool]]:
    """Load the stage's extractors one by one: (configuration, network, whether it is the first).

    Raises UserError as `checked_folder` does, and for weights that are missing or damaged.
    """
    from nanogen.metrics.extractors import load_extractor

    for position, model in enumerate(stage.extractors):
        yield model, load_extractor(checked_folder(stage, model, folders), model), position == 0


@dataclass(frozen=True)
class Kinds:
    """The outputs that are stored in addition to features."""

    logits: bool = False
    spatial: bool = False


FEATURES_ALONE = Kinds()


def extract(
    group: h5py.Group,
    extractor: Extractor,
    images: ImageSet,
    batch: int = BATCH,
    kinds: Kinds = FEATURES_ALONE,
    *,
    part: bool = False,
    bar: bool = True,
) -> Moments | None:
    """Write ``features`` of all images and, depending on ``kinds``, ``logits``.

    Returns the moments of the spatial features if ``kinds`` includes them. For a ``part`` of a set, the
    spatial features themselves are written (``spatial``). ``batch``, rounded up to whole batches of the
    network, is the number of images that are read and written at a time; it does not change results.

    Raises UserError if the network lacks the requested logits or feature maps, or if its features are
    not finite.
    """
    from tqdm import tqdm

    from nanogen.metrics.extractors import rounded_up

    count, places, done = len(images), None, 0
    features = group.create_dataset("features", (count, extractor.width), np.float32)
    if kinds.logits:
        classes = group.create_dataset("logits", (count, _classes(extractor)), np.float32)
    shown = bar and sys.stderr.isatty()
    with tqdm(total=count, desc=extractor.name, disable=not shown) as progress:
        for pictures in images.batches(rounded_up(batch)):
            output = extractor.in_network_batches(pictures)
            rows = slice(done, done + len(pictures))
            require_finite(output.features, f"the features of extractor {extractor.name}")
            features[rows] = output.features
            if kinds.logits:
                classes[rows] = output.logits
            if kinds.spatial and part:
                _spatial_rows(group, _spatial(extractor, output), count)[rows] = output.spatial
            elif kinds.spatial:
                places = places or Moments(_spatial(extractor, output).shape[1])
                places.add(output.spatial)
            done = rows.stop
            progress.update(len(pictures))
    return places


def _spatial_rows(group: h5py.Group, values: np.ndarray, count: int) -> h5py.Dataset:
    """Return the dataset of ``count`` rows; it is created with the width of the first ``values``."""
    return group.require_dataset(SPATIAL, (count, values.shape[1]), np.float32)


def write_extracted(
    group: h5py.Group,
    extractor: Extractor,
    images: ImageSet,
    batch: int = BATCH,
    kinds: Kinds = FEATURES_ALONE,
) -> None:
    """Call `extract`, and write the moments of the spatial features to the group ``spatial``."""
    places = extract(group, extractor, images, batch, kinds)
    if places is not None:
        write_spatial(group, places, images.name)
    log_extracted(extractor, len(images))


def write_spatial(group: h5py.Group, places: Moments, what: str) -> None:
    write_moments(group.create_group(SPATIAL), places, described(places, what))


def log_extracted(extractor: Extractor, count: int) -> None:
    log.info("%s: %d features of %d images", extractor.name, extractor.width, count)


def write_moments(group: h5py.Group, moments: Moments | PublishedMoments, source: str) -> None:
    """Write ``mu`` (d,) and ``sigma`` (d, d), float64, and a description of their source."""
    group.create_dataset("mu", data=moments.mean)
    group.create_dataset("sigma", data=moments.covariance)
    group.attrs["moments"] = source


def described(moments: Moments, what: str) -> str:
    """Return a description such as ``8000 training images``; note and log it if they are too few."""
    width = len(moments.mean)
    note = few_images(moments.count, width)
    if note:
        log.warning("%s: %s", what, note)
    return f"{moments.count} {what}" + (f" (too few for {width} features)" if note else "")


def _classes(extractor: Extractor) -> int:
    if extractor.classes is None:
        raise UserError(
            f"extractor {extractor.name} has no classes, but the first extractor gives the Inception "
            "Score's logits and evaluation.classifier the class accuracy's: name a network there that "
            "classifies, such as inception"
        )
    return extractor.classes


def _spatial(extractor: Extractor, output: Output) -> np.ndarray:
    if output.spatial is None:
        raise UserError(
            f"extractor {extractor.name} has no feature maps, but the first extractor gives sFID's "
            "spatial features: put a convolutional network such as inception first"
        )
    return output.spatial
