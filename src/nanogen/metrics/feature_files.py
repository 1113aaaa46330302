"""Files of features: of one sample set (`features`) and of the real images (`reference`).

Every extractor is loaded once, images are read and pass through it in batches and their features go
straight into the file, so memory does not grow with the number of images.
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
    """Make the file of a stage `features`, of which ``content`` is the JSON: every extractor's features
    of the images in ``samples``.

    Of a ``group`` of processes, each extracts its share. The file is the same whatever ``batch`` and
    however many processes there are. Raises UserError where an input is missing, damaged or made by
    another configuration.
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


def _held_out(extractor: Extractor, val: ImageFile) -> Moments:
    moments = Moments(extractor.width)
    for images in of_hdf5(val.path, "validation images").batches(BATCH):
        moments.add(extractor.in_network_batches(images).features)
    described(moments, "validation images")
    return moments


def write_real(
    group: h5py.Group, extractor: Extractor, images: ImageSet, batch: int = BATCH, *, spatial: bool
) -> Moments:
    """Write a reference's features of real images; returns their moments, which are not written."""
    write_extracted(group, extractor, images, batch, Kinds(spatial=spatial))
    real = moments_of(group["features"])
    group.attrs["images"] = described(real, images.name)
    return real


def write_reference(
    content: Mapping[str, Any],
    train: ImageFile,
    val: ImageFile,
    folders: Mapping[str, Path],
    output: Path,
) -> None:
    """Make the file of a stage `reference`, of which ``content`` is the JSON: features and moments of
    the real images, and FDr's constants.

    The constant is the model's published one or the Frechet distance of the training and validation
    images. Raises UserError as `write_features` does.
    """
    stage, images = FeaturesStage.from_json(content), of_hdf5(train.path, "training images")
    with hdf5.create(output, label(*REFERENCE, stage.hash)) as file:
        for model, extractor, first in loaded(stage, folders):
            name, published, constant = model.name, model.statistics, model.fdr_constant
            group = file.create_group(name)
            real = write_real(group, extractor, images, spatial=first)
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
            about = {"fdr_constant": constant, "network": model.model_class}
            group.attrs.update({**about, "weights": stage.expects[name]})
            log.info("%s: FDr constant %.6g", name, constant)
