"""Scores of a finished sample set, each a small JSON with its protocol and its inputs' hashes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.prompts import GENEVAL, of_benchmark
from nanogen.data.simple_prompts import BENCHMARK
from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json, write_json
from nanogen.metrics import simpleeval
from nanogen.metrics.distribution import inception_score, mind
from nanogen.metrics.feature_files import FEATURES, REFERENCE, SAMPLES
from nanogen.metrics.frechet import frechet_distance, moments_of
from nanogen.metrics.geneval import chance, score

log = logging.getLogger(__name__)
METRIC = ("metric", 1)
IS_SPLITS = 10
Score = tuple[dict[str, float], str]  # values by name, protocol


def write_metric(
    output: Path,
    stage: Mapping[str, Any],
    metric: str,
    about: Mapping[str, str],
    result: Score,
) -> None:
    """Write one metric's JSON; ``about`` holds method, task and variant. Refuses NaN (UserError)."""
    values, protocol = result
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise UserError(f"{output}: {', '.join(broken)} came out as NaN or infinite; not written")
    header = label(*METRIC, stage["hash"], metric=metric, **about)
    inputs = dict(stage["expects"])
    write_json(output, {**header, "values": values, "protocol": protocol, "inputs": inputs})
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    log.info("%s: %s", output, shown)


class FeatureSpace:
    """One extractor's features of the samples, and what they are compared with."""

    def __init__(self, name: str, samples: h5py.File, reference: h5py.File):
        for file in (samples, reference):
            if name not in file:
                raise UserError(f"{file.filename} has no features of extractor {name}; make it again")
        group = reference[name]
        self.name = name
        self.features: np.ndarray = hdf5.memmap(samples, f"{name}/features")
        self.real: np.ndarray = hdf5.memmap(reference, f"{name}/features")
        self.source = str(group.attrs["moments"])
        self.network = str(group.attrs["network"])
        self.constant = float(group.attrs["fdr_constant"])
        moments = moments_of(self.features)
        self.distance = frechet_distance(
            moments.mean, moments.covariance, group["mu"][:], group["sigma"][:]
        )


def fid(space: FeatureSpace) -> Score:
    """Frechet distance in the first extractor's space."""
    protocol = (
        f"{len(space.features)} generated images against {space.source}: Frechet distance of "
        f"the features of {space.name} ({space.network}, {space.features.shape[1]} features)"
    )
    return {"fid": space.distance}, protocol


def fdr(spaces: list[FeatureSpace]) -> Score:
    """Frechet distance in every space, divided by the space's constant."""
    constants = ", ".join(f"{s.name} {s.constant:.6g} against {s.source}" for s in spaces)
    protocol = (
        f"{len(spaces[0].features)} generated images: Frechet distance divided by that of training "
        f"and validation images ({constants})"
    )
    return {f"fdr_{s.name}": s.distance / s.constant for s in spaces}, protocol


def mind_scores(spaces: list[FeatureSpace], directions: int) -> Score:
    """MIND in every space, against the features of the real images themselves."""
    protocol = (
        f"{len(spaces[0].features)} generated images against {len(spaces[0].real)} training images, "
        f"the larger set subsampled to the smaller, {directions} directions from seed 2020, "
        f"features of {', '.join(s.name for s in spaces)}"
    )
    return {f"mind_{s.name}": mind(s.features, s.real, directions) for s in spaces}, protocol


def inception(name: str, logits: np.ndarray) -> Score:
    """Inception Score from the first extractor's logits."""
    splits = min(IS_SPLITS, len(logits))
    protocol = (
        f"{len(logits)} generated images in {splits} splits: classes of {name} "
        f"({logits.shape[1]} classes, the largest possible score)"
    )
    return {"is": inception_score(logits, splits)}, protocol


@contextmanager
def _feature_files(stage: Mapping[str, Any], features: Path, reference: Path) -> Iterator[Any]:
    expects = stage["expects"]
    with (
        hdf5.opened(features, *FEATURES, expects["features"]) as samples,
        hdf5.opened(reference, *REFERENCE, expects["reference"]) as real,
    ):
        yield samples, real


def score_distribution(stage: Mapping[str, Any], features: Path, reference: Path, output: Path) -> None:
    """Write fid.json, is.json, fdr.json and mind.json of a stage `distribution` into ``output``.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    names = stage["extractors"]
    with _feature_files(stage, features, reference) as (samples, real):
        about = {key: str(samples.attrs[key]) for key in ("method", "variant")} | {"task": "imagenet"}
        spaces = [FeatureSpace(name, samples, real) for name in names]
        results = {
            "fid": fid(spaces[0]),
            "is": inception(names[0], samples[f"{names[0]}/logits"][:]),
            "fdr": fdr(spaces),
            "mind": mind_scores(spaces, stage["mind_directions"]),
        }
    for metric, result in results.items():
        write_metric(output / f"{metric}.json", stage, metric, about, result)


class JudgedSamples:
    """The images of a text-to-image sample set that belong to one benchmark's prompts.

    Attributes:
        prompts: the benchmark's, in order.
        images: uint8 (N, H, W, 3).
        of_image: which of ``prompts`` each image belongs to, int64 (N,).
        about: method, task and variant.

    Raises UserError where a file is missing, damaged, of another configuration, or has no such prompt.
    """

    def __init__(self, expects: Mapping[str, str], samples: Path, prompts_file: Path, benchmark: str):
        content = read_json(prompts_file)
        check_label(content, prompts_file, "prompts", 1, expects["prompts"])
        every = content["prompts"]
        with hdf5.opened(samples, *SAMPLES, expects["samples"]) as file:
            images, of_image = hdf5.memmap(file, "images"), file["labels"][:]
            self.about = {key: str(file.attrs[key]) for key in ("method", "task", "variant")}
        if len(of_image) and not 0 <= of_image.min() <= of_image.max() < len(every):
            raise UserError(
                f"{samples}: an image belongs to prompt {of_image.max()}, but {prompts_file} has "
                f"{len(every)} prompts; make the samples again"
            )
        chosen = of_benchmark(every, benchmark)
        if not chosen:
            raise UserError(f"{prompts_file} has no prompts of {benchmark}; make it again")
        place = np.full(len(every), -1)
        place[chosen] = np.arange(len(chosen))
        kept = place[of_image] >= 0
        self.prompts = [every[i] for i in chosen]
        self.images, self.of_image = images[kept], place[of_image][kept]


def score_geneval(
    stage: Mapping[str, Any], samples: Path, prompts_file: Path, detector_folder: Path, output: Path
) -> None:
    """Write the JSON of a stage `geneval`: the score, its tags, and what chance would give.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    from nanogen.metrics.detector import load_detector
    from nanogen.models.card import expect_model

    judged = JudgedSamples(stage["expects"], samples, prompts_file, GENEVAL)
    expect_model(detector_folder, stage["expects"]["detector"])
    detector = load_detector(detector_folder, stage["detector"])
    found = detector(judged.images)
    values = score(judged.prompts, judged.of_image, found)
    by_chance = chance(judged.prompts, judged.of_image, found)
    values |= {"chance" if n == "geneval" else f"chance_{n}": v for n, v in by_chance.items()}
    protocol = (
        f"{len(judged.images)} images of {len(set(judged.of_image.tolist()))} prompts, GenEval's rules; "
        f"{detector.protocol}; chance: the same images judged by other images' prompts"
    )
    write_metric(output, stage, "geneval", judged.about, (values, protocol))


def score_simpleeval(
    stage: Mapping[str, Any], samples: Path, prompts_file: Path, scorer_folder: Path, output: Path
) -> None:
    """Write the JSON of a stage `simpleeval`: the score, its levels, their intervals, and chance.

    Raises UserError where an input is missing, damaged or made by another configuration.
    """
    from nanogen.metrics.weak_scorer import load_weak_scorer
    from nanogen.models.card import expect_model, read_card

    judged = JudgedSamples(stage["expects"], samples, prompts_file, BENCHMARK)
    expect_model(scorer_folder, stage["expects"]["scorer"])
    scorer = load_weak_scorer(scorer_folder, stage["scorer"])
    choices = simpleeval.Choices(judged.prompts)
    agreement = scorer(judged.images, choices.texts)
    right = choices.right(agreement, judged.of_image)
    scores = simpleeval.per_prompt(right, judged.of_image, len(choices))
    values = simpleeval.summarise(scores, choices.levels, stage["seed"])
    values["simpleeval_chance"] = choices.chance(agreement, judged.of_image)
    real = (read_card(scorer_folder) or {"quality": {}})["quality"].get("real")
    protocol = (
        f"{len(judged.images)} images of {len(choices)} prompts in {len(set(choices.levels))} levels, "
        f"each compared with {len(choices.of_prompt[0])} texts of which one is true, "
        f"by {scorer.protocol}{f', right on {real:.3f} of real images' if real else ''}; interval: "
        f"{simpleeval.CONFIDENCE:.0%}, bootstrap over prompts; chance: the same images judged by other "
        "images' prompts"
    )
    write_metric(output, stage, "simpleeval", judged.about, (values, protocol))
