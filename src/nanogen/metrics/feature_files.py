"""Files of features: of one sample set (`features`) and of the real images (`reference`).

Every extractor is loaded once, images pass through it in batches and their features go straight
into the file, so memory does not grow with the number of images.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.image_sets import ImageSet, of_array
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.metrics.frechet import Moments, few_images, frechet_distance
from nanogen.metrics.judged_samples import SAMPLES
from nanogen.metrics.published_moments import PublishedMoments, published_moments
from nanogen.models.card import expect_model

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.metrics.extractors import Extractor, Output

log = logging.getLogger(__name__)
BATCH = 100
SPATIAL = "spatial"  # the group of sFID's moments within an extractor's
FEATURES = ("features", 1)  # format and version
REFERENCE = ("reference", 1)


def checked_folder(
    stage: Mapping[str, Any], model: Mapping[str, Any], folders: Mapping[str, Path]
) -> Path:
    """The folder given for ``model``; raises UserError if none is, or if it holds another model."""
    name = model["name"]
    if name not in folders:
        raise UserError(f"no folder is given for extractor {name}: add --extractor {name}=FOLDER")
    expect_model(folders[name], stage["expects"][name])
    return folders[name]


def _loaded(
    stage: Mapping[str, Any], model: Mapping[str, Any], folders: Mapping[str, Path]
) -> Extractor:
    from nanogen.metrics.extractors import load_extractor

    return load_extractor(checked_folder(stage, model, folders), model)


def write_extracted(
    group: h5py.Group,
    extractor: Extractor,
    images: ImageSet,
    batch: int = BATCH,
    *,
    logits: bool = False,
    spatial: bool = False,
) -> Moments:
    """Write ``features`` of all images, if asked for ``logits``, and the moments of the spatial features
    (group ``spatial``); returns the moments of the features.

    Raises UserError where the network has no logits or maps, or gives values that are not finite.
    """
    from tqdm import tqdm

    count = len(images)
    features = group.create_dataset("features", (count, extractor.width), np.float32)
    if logits:
        classes = group.create_dataset("logits", (count, _classes(extractor)), np.float32)
    moments, places, done = Moments(extractor.width), None, 0
    with tqdm(total=count, desc=extractor.name, disable=not sys.stderr.isatty()) as bar:
        for pictures in images.batches(batch):
            output, rows = extractor(pictures), slice(done, done + len(pictures))
            features[rows] = output.features
            moments.add(output.features)
            if logits:
                classes[rows] = output.logits
            if spatial:
                places = places or Moments(_spatial(extractor, output).shape[1])
                places.add(output.spatial)
            done = rows.stop
            bar.update(len(pictures))
    if places is not None:
        write_moments(group.create_group(SPATIAL), places, described(places, images.name))
    log.info("%s: %d features of %d images", extractor.name, extractor.width, count)
    return moments


def write_moments(group: h5py.Group, moments: Moments | PublishedMoments, source: str) -> None:
    """Datasets ``mu`` (d,) and ``sigma`` (d, d), float64, and what they were made from."""
    group.create_dataset("mu", data=moments.mean)
    group.create_dataset("sigma", data=moments.covariance)
    group.attrs["moments"] = source


def described(moments: Moments, what: str) -> str:
    """E.g. ``8000 training images``; says in the log, too, where they are too few."""
    width = len(moments.mean)
    note = few_images(moments.count, width)
    if note:
        log.warning("%s: %s", what, note)
    return f"{moments.count} {what}" + (f" (too few for {width} features)" if note else "")


def _classes(extractor: Extractor) -> int:
    if extractor.classes is None:
        raise UserError(
            f"extractor {extractor.name} has no classes, but the first extractor gives the Inception "
            "Score's logits: put a classifier such as inception first"
        )
    return extractor.classes


def _spatial(extractor: Extractor, output: Output) -> np.ndarray:
    if output.spatial is None:
        raise UserError(
            f"extractor {extractor.name} has no feature maps, but the first extractor gives sFID's "
            "spatial features: put a convolutional network such as inception first"
        )
    return output.spatial


def write_features(
    stage: Mapping[str, Any], samples: Path, folders: Mapping[str, Path], output: Path
) -> None:
    """Make the file of stage `features`: every extractor's features of the images in ``samples``.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    with hdf5.opened(samples, *SAMPLES, stage["expects"]["samples"]) as file:
        images = of_array(hdf5.memmap(file, "images"), "generated images")
        about = {key: str(file.attrs[key]) for key in ("method", "variant")}
    with hdf5.create(output, label(*FEATURES, stage["hash"], **about)) as file:
        for position, model in enumerate(stage["extractors"]):
            extractor = _loaded(stage, model, folders)
            group, first = file.create_group(model["name"]), position == 0
            write_extracted(group, extractor, images, logits=first, spatial=first)


def _held_out(extractor: Extractor, val: ImageFile) -> Moments:
    moments = Moments(extractor.width)
    for images in of_array(val.images, "validation images").batches(BATCH):
        moments.add(extractor(images).features)
    described(moments, "validation images")
    return moments


def write_real(
    group: h5py.Group, extractor: Extractor, images: ImageSet, batch: int = BATCH, *, spatial: bool
) -> Moments:
    """Write a reference's features of real images; returns their moments, which are not written."""
    real = write_extracted(group, extractor, images, batch, spatial=spatial)
    group.attrs["images"] = described(real, images.name)
    return real


def write_reference(
    stage: Mapping[str, Any],
    train: ImageFile,
    val: ImageFile,
    folders: Mapping[str, Path],
    output: Path,
) -> None:
    """Make the file of stage `reference`: features and moments of the real images, and FDr's constants.

    The constant is the model's published one or the Frechet distance of the training and validation
    images. Raises UserError as `write_features` does.
    """
    images = of_array(train.images, "training images")
    with hdf5.create(output, label(*REFERENCE, stage["hash"])) as file:
        for position, model in enumerate(stage["extractors"]):
            name, published, constant = (model[key] for key in ("name", "statistics", "fdr_constant"))
            extractor, group = _loaded(stage, model, folders), file.create_group(name)
            real = write_real(group, extractor, images, spatial=position == 0)
            if published is None:
                write_moments(group, real, group.attrs["images"])
            else:
                moments = published_moments(folders[name], published, extractor.width)
                write_moments(group, moments, f"the published statistics {published}")
            if constant is None:
                held_out = _held_out(extractor, val)
                constant = frechet_distance(
                    real.mean, real.covariance, held_out.mean, held_out.covariance
                )
            about = {"fdr_constant": constant, "network": model["model_class"]}
            group.attrs.update({**about, "weights": stage["expects"][name]})
            log.info("%s: FDr constant %.6g", name, constant)
