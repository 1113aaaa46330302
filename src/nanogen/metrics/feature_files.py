"""Write the feature files of sample sets (``features``) and of the real images (``reference``).

Every extractor is loaded once. Images are read in batches and their features written directly to the
file, so memory does not grow with the number of images.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from nanogen.config.score_stages import FeaturesStage
from nanogen.data import hdf5
from nanogen.data.content import of_sample_set
from nanogen.data.image_sets import ImageSet, of_hdf5
from nanogen.files import label
from nanogen.metrics import class_labels
from nanogen.metrics.benchmark_samples import SAMPLES
from nanogen.metrics.feature_extraction import (
    BATCH,
    FOR_FDR,
    GENERATED,
    Kinds,
    described,
    loaded,
    write_extracted,
    write_moments,
)
from nanogen.metrics.frechet import (
    Moments,
    frechet_distance,
    moments_of,
)
from nanogen.metrics.published_moments import published_moments

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.metrics.extractors import Extractor
    from nanogen.training.processes import Processes

log = logging.getLogger(__name__)
SPLITS = {"train": "training images", "val": "validation images"}
FEATURES = ("features", 1)  # format and version
REFERENCE = ("reference", 1)


def write_features(
    content: Mapping[str, Any],
    samples: Path,
    folders: Mapping[str, Path],
    output: Path,
    batch: int = BATCH,
    group: Processes | None = None,
) -> None:
    """Write the file of a ``features`` stage, given its JSON.

    It contains every extractor's features of the images in ``samples``. Each process of a ``group``
    extracts a part of the images. The file does not depend on ``batch`` or the number of processes.
    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    stage = FeaturesStage.from_json(content)
    with hdf5.opened(samples, *SAMPLES, stage.expects["samples"]) as file:
        about = {key: str(file.attrs[key]) for key in ("method", "variant")}
    header = label(*FEATURES, stage.hash, **about, sample_set=of_sample_set(samples))
    if group is not None and group.world > 1:
        from nanogen.metrics.feature_parts import write_together

        write_together(stage, samples, folders, output, batch, group, header)
        return
    images = of_hdf5(samples, GENERATED)
    with hdf5.create(output, header) as file:
        for _, extractor, first in loaded(stage, folders):
            kinds = Kinds(logits=class_labels.judges(stage, extractor) or first, spatial=first)
            write_extracted(file.create_group(extractor.name), extractor, images, batch, kinds)
        class_labels.write(stage, samples, folders, file)


def _real_images(files: Mapping[str, ImageFile], split: str) -> ImageSet:
    """The images of a split, named with the number of files that their import left out."""
    left_out = files[split].left_out
    note = f" ({left_out} unreadable files left out)" if left_out else ""
    return of_hdf5(files[split].path, SPLITS[split] + note)


class _RealMoments:
    """An extractor's moments of the real images, by split, which are computed on first use.

    ``known`` contains those that have been computed before.
    """

    def __init__(
        self, extractor: Extractor, files: Mapping[str, ImageFile], known: Mapping[str, Moments]
    ):
        self._extractor, self._files, self._known = extractor, files, dict(known)

    def __getitem__(self, split: str) -> Moments:
        if split not in self._known:
            moments = Moments(self._extractor.width)
            for images in _real_images(self._files, split).batches(BATCH):
                moments.add(self._extractor.in_network_batches(images).features)
            self._known[split] = moments
        return self._known[split]

    def described(self, split: str) -> str:
        """Return a description such as ``8000 training images``."""
        return described(self[split], _real_images(self._files, split).name)

    def constant(self) -> float:
        """Compute the constant of FDr: the Frechet distance between training and validation images."""
        self.described("val")
        train, val = self["train"], self["val"]
        return frechet_distance(train.mean, train.covariance, val.mean, val.covariance)


def write_real(
    group: h5py.Group, extractor: Extractor, images: ImageSet, batch: int = BATCH, *, spatial: bool
) -> Moments:
    """Write the features of real images; return their moments, which are not written."""
    write_extracted(group, extractor, images, batch, Kinds(spatial=spatial))
    real = moments_of(group["features"])
    group.attrs["images"] = described(real, images.name)
    return real


def write_reference(
    content: Mapping[str, Any],
    files: Mapping[str, ImageFile],
    folders: Mapping[str, Path],
    output: Path,
) -> None:
    """Write the file of a ``reference`` stage, given its JSON.

    It contains features and moments of the real images, and the constants of FDr. A constant is the
    model's published one, or else the Frechet distance between the training and validation images.
    ``files`` contains the images of the splits ``train`` and ``val``, as far as
    `stages.reference_splits` lists them. Raises UserError like `write_features`.
    """
    stage = FeaturesStage.from_json(content)
    kept = stage.real_images
    images = _real_images(files, kept)
    with hdf5.create(output, label(*REFERENCE, stage.hash)) as file:
        for model, extractor, first in loaded(stage, folders):
            group = file.create_group(model.name)
            known = {kept: write_real(group, extractor, images, spatial=first)}
            real = _RealMoments(extractor, files, known)
            if model.statistics is None:
                write_moments(group, real["train"], real.described("train"))
            else:
                _write_published(group, folders[model.name], model.statistics, extractor)
            if model.fdr_statistics is not None:
                other = group.create_group(FOR_FDR)
                _write_published(other, folders[model.name], model.fdr_statistics, extractor)
            constant = real.constant() if model.fdr_constant is None else model.fdr_constant
            about = {"fdr_constant": constant, "network": model.model_class}
            group.attrs.update({**about, "weights": stage.expects[model.name]})
            log.info("%s: FDr constant %.6g", model.name, constant)


def _write_published(group: h5py.Group, folder: Path, name: str, extractor: Extractor) -> None:
    moments = published_moments(folder, name, extractor.width)
    write_moments(group, moments, f"the published statistics {name}")
