"""FID on caption sets: images generated from captions, compared with the captions' own images.

The reference consists of the images of all captions in use, scaled and cropped to the size of the
generated images. Users can give moments instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.config.score_stages import CaptionFidStage, CaptionReferenceStage
from nanogen.data import hdf5
from nanogen.data.caption_images import caption_images
from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json
from nanogen.metrics.benchmark_samples import BenchmarkSamples
from nanogen.metrics.extractors import Extractor, load_extractor
from nanogen.metrics.feature_extraction import BATCH, described, write_moments
from nanogen.metrics.frechet import Moments, few_images, frechet_distance, require_finite
from nanogen.metrics.metric_files import write_metric
from nanogen.metrics.published_moments import read_moments
from nanogen.models.batching import batches
from nanogen.models.card import expect_model
from nanogen.prompts.caption_sets import SETS, moments_file
from nanogen.prompts.files import of_benchmark

REFERENCE = ("caption_reference", 1)
FILE = "moments.h5"


def write_caption_reference(
    content: Mapping[str, Any], prompts_file: Path, folder: Path, images: Path, output: Path
) -> None:
    """Write the moments of a ``caption_reference`` stage, given its JSON.

    Args:
        folder: the folder of the extractor.
        images: the folder with the images or moments of the set.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    stage = CaptionReferenceStage.from_json(content)
    expect_model(folder, stage.expects["extractor"])
    extractor = load_extractor(folder, stage.extractor)
    with hdf5.create(output, label(*REFERENCE, stage.hash, captions=stage.captions)) as file:
        if given := moments_file(str(images)):
            write_moments(file, read_moments(given, extractor.width), f"the moments in {given}")
            return
        wanted = _images(stage, prompts_file)
        found = caption_images(images, SETS[stage.captions].images, wanted, stage.resolution)
        moments = Moments(extractor.width)
        for batch in found.batches(BATCH):
            _add(moments, extractor, batch)
        write_moments(file, moments, described(moments, f"images of {SETS[stage.captions].title}"))


def _images(stage: CaptionReferenceStage, prompts_file: Path) -> list[str]:
    """Return the ends of the paths (`Caption.image`) of the images whose captions are used."""
    content = read_json(prompts_file)
    check_label(content, prompts_file, "prompts", 1, stage.expects["prompts"])
    prompts = content["prompts"]
    return [prompts[place]["item_id"] for place in of_benchmark(prompts, stage.captions)]


def _add(moments: Moments, extractor: Extractor, images: np.ndarray) -> None:
    features = extractor.in_network_batches(images).features
    require_finite(features, f"the features of extractor {extractor.name}")
    moments.add(features)


def score_captions(
    content: Mapping[str, Any],
    names: Sequence[str],
    samples: Path,
    prompts_file: Path,
    folder: Path,
    references: Mapping[str, Path],
    output: Path,
) -> None:
    """Measure the metrics ``names`` of a ``caption_fid`` stage, given its JSON.

    Args:
        folder: the folder of the extractor.
        references: caption set -> folder with its reference.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    stage = CaptionFidStage.from_json(content)
    expect_model(folder, stage.expects["extractor"])
    extractor = load_extractor(folder, stage.extractor)
    for metric in names:
        name = metric.removeprefix("fid_")
        if name not in references:
            raise UserError(f"--captions {name}=DIR is missing: {metric} needs the set's reference")
        judged = BenchmarkSamples(stage.expects, samples, prompts_file, name)
        moments = Moments(extractor.width)
        for part in batches(len(judged.images), BATCH):
            _add(moments, extractor, np.array(judged.images[part]))
        path = references[name] / FILE
        with hdf5.opened(path, *REFERENCE, stage.expects[f"captions_{name}"]) as file:
            distance, source = _distance(moments, file)
        note = few_images(moments.count, extractor.width)
        protocol = f"{moments.count} images against {source}, by {extractor.name}"
        score = {metric: distance}, f"{protocol}; {note}" if note else protocol
        write_metric(output / f"{metric}.json", stage, metric, judged.about, score)


def _distance(moments: Moments, file: h5py.File) -> tuple[float, str]:
    mean, covariance = file["mu"][:], file["sigma"][:]
    distance = frechet_distance(moments.mean, moments.covariance, mean, covariance)
    return distance, str(file.attrs["moments"])
