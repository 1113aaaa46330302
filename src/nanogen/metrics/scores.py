"""Scores of a finished sample set, each a small JSON with its protocol and its inputs' hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.metrics.feature_files import FEATURES, REFERENCE, SAMPLES
from nanogen.metrics.feature_spaces import METRICS, FeatureSpace
from nanogen.metrics.geneval import chance, check_classes, score
from nanogen.metrics.metric_files import Score, write_metric


def score_distribution(stage: Mapping[str, Any], features: Path, reference: Path, output: Path) -> None:
    """Write one JSON per metric of `METRICS` for a stage `distribution` into ``output``.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    expects = stage["expects"]
    with (
        hdf5.opened(features, *FEATURES, expects["features"]) as samples,
        hdf5.opened(reference, *REFERENCE, expects["reference"]) as real,
    ):
        about = {key: str(samples.attrs[key]) for key in ("method", "variant")} | {"task": "imagenet"}
        spaces = [FeatureSpace(name, samples, real) for name in stage["extractors"]]
        results = {name: of(spaces, stage["mind_directions"]) for name, of in METRICS.items()}
    for metric, result in results.items():
        write_metric(output / f"{metric}.json", stage, metric, about, result)


def _prompts(path: Path, hash_: str) -> list[dict[str, Any]]:
    content = read_json(path)
    check_label(content, path, "prompts", 1, hash_)
    return content["prompts"]


def geneval(
    prompts: Sequence[Mapping[str, Any]],
    of_image: Sequence[int],
    found: Sequence[Sequence[Mapping[str, Any]]],
    how: str,
) -> Score:
    """GenEval of images by what a detector ``found`` in each, and what chance would give.

    Args:
        of_image: image i belongs to prompts[of_image[i]].
        how: the detector's protocol.
    """
    values = score(prompts, of_image, found)
    by_chance = chance(prompts, of_image, found)
    values |= {"chance" if n == "geneval" else f"chance_{n}": v for n, v in by_chance.items()}
    protocol = (
        f"{len(found)} images of {len(set(map(int, of_image)))} prompts, GenEval's rules; {how}; "
        "chance: the same images judged by other images' prompts"
    )
    return values, protocol


def score_geneval(
    stage: Mapping[str, Any],
    samples: Path,
    prompts_file: Path,
    detector_folder: Path,
    output: Path,
    color_classifier_folder: Path | None = None,
) -> None:
    """Write the JSON of a stage `geneval`: the score, its tags, and what chance would give.

    ``color_classifier_folder`` is needed where the detector sees no colours.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    from nanogen.metrics.detector import load_detector
    from nanogen.models.card import expect_model

    expects = stage["expects"]
    prompts = _prompts(prompts_file, expects["prompts"])
    expect_model(detector_folder, expects["detector"])
    color_classifier = None
    if color_classifier_folder is not None and "color_classifier" in stage:
        expect_model(color_classifier_folder, expects["color_classifier"])
        color_classifier = (color_classifier_folder, stage["color_classifier"])
    detector = load_detector(detector_folder, stage["detector"], color_classifier)
    check_classes(prompts, detector.classes)
    with hdf5.opened(samples, *SAMPLES, expects["samples"]) as file:
        images, of_image = hdf5.memmap(file, "images"), file["labels"][:]
        about = {key: str(file.attrs[key]) for key in ("method", "task", "variant")}
    if len(of_image) and not 0 <= of_image.min() <= of_image.max() < len(prompts):
        raise UserError(
            f"{samples}: an image belongs to prompt {of_image.max()}, but {prompts_file} has "
            f"{len(prompts)} prompts; make the samples again"
        )
    result = geneval(prompts, of_image, detector(images), detector.protocol)
    write_metric(output, stage, "geneval", about, result)
