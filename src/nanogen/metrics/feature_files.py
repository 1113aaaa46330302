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
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.metrics.frechet import Moments, frechet_distance
from nanogen.models.card import expect_model

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.metrics.extractors import Extractor

log = logging.getLogger(__name__)
BATCH = 100
FEATURES = ("features", 1)  # format and version
REFERENCE = ("reference", 1)
SAMPLES = ("samples", 1)


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


def _fill(group: h5py.Group, extractor: Extractor, images: np.ndarray, logits: bool) -> Moments:
    """Write ``features`` (and ``logits``) of all images; returns the features' moments."""
    from tqdm import tqdm

    count = len(images)
    features = group.create_dataset("features", (count, extractor.width), np.float32)
    if logits:
        if extractor.classes is None:
            raise UserError(
                f"extractor {extractor.name} has no classes, but the first of evaluation.extractors "
                "gives the Inception Score's logits: put a classifier such as inception first"
            )
        classes = group.create_dataset("logits", (count, extractor.classes), np.float32)
    moments = Moments(extractor.width)
    with tqdm(total=count, desc=extractor.name, disable=not sys.stderr.isatty()) as bar:
        for rows, values, scores in extractor.stream(images, BATCH):
            features[rows] = values
            if logits:
                classes[rows] = scores
            moments.add(values)
            bar.update(len(values))
    log.info("%s: %d features of %d images", extractor.name, extractor.width, count)
    return moments


def write_features(
    stage: Mapping[str, Any], samples: Path, folders: Mapping[str, Path], output: Path
) -> None:
    """Make the file of stage `features`: every extractor's features of the images in ``samples``.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    with hdf5.opened(samples, *SAMPLES, stage["expects"]["samples"]) as file:
        images = hdf5.memmap(file, "images")
        about = {key: str(file.attrs[key]) for key in ("method", "variant")}
    with hdf5.create(output, label(*FEATURES, stage["hash"], **about)) as file:
        for position, model in enumerate(stage["extractors"]):
            extractor = _loaded(stage, model, folders)
            _fill(file.create_group(model["name"]), extractor, images, logits=position == 0)


def published_moments(folder: Path, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) from ``folder/name.npz`` (mu, sigma, or ref_mu, ref_sigma).

    Raises UserError where the file is missing, unreadable, or of another width than ``width``.
    """
    path = folder / f"{name}.npz"
    if not path.exists():
        raise UserError(
            f"{path} does not exist: it holds the published moments that the configuration names; "
            "put it there, or set the model's 'statistics' to null to use the training images"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            prefix = "ref_" if "ref_mu" in file else ""
            mu, sigma = (file[f"{prefix}{key}"].astype(np.float64) for key in ("mu", "sigma"))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not hold mu and sigma: {error}") from error
    if mu.shape != (width,) or sigma.shape != (width, width):
        raise UserError(f"{path}: moments of width {len(mu)}, but the extractor gives {width} features")
    return mu, sigma


def _fdr_constant(model: Mapping[str, Any], real: Moments, held_out: Moments) -> float:
    given = model["fdr_constant"]
    if given is not None:
        return float(given)
    return frechet_distance(real.mean, real.covariance, held_out.mean, held_out.covariance)


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
    with hdf5.create(output, label(*REFERENCE, stage["hash"])) as file:
        for model in stage["extractors"]:
            extractor = _loaded(stage, model, folders)
            group = file.create_group(model["name"])
            real = _fill(group, extractor, train.images, logits=False)
            mu, sigma, source = real.mean, real.covariance, f"{len(train)} training images"
            if model["statistics"] is not None:
                folder = folders[model["name"]]
                mu, sigma = published_moments(folder, model["statistics"], extractor.width)
                source = f"the published statistics {model['statistics']}"
            held_out = Moments(extractor.width)
            if model["fdr_constant"] is None:
                for _, features, _ in extractor.stream(val.images, BATCH):
                    held_out.add(features)
            group.create_dataset("mu", data=mu)
            group.create_dataset("sigma", data=sigma)
            constant = _fdr_constant(model, real, held_out)
            group.attrs.update(
                {"fdr_constant": constant, "network": model["model_class"], "moments": source}
            )
            log.info("%s: FDr constant %.6g", model["name"], constant)
