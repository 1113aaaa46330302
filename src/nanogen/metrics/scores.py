"""Score a sample set; each score is a small JSON file with its protocol and the hashes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen.config import metrics
from nanogen.config.score_stages import DistributionStage, GenEvalStage, ImageTextStage, SimpleEvalStage
from nanogen.data import hdf5
from nanogen.metrics import simpleeval
from nanogen.metrics.benchmark_samples import BenchmarkSamples
from nanogen.metrics.feature_files import FEATURES, REFERENCE
from nanogen.metrics.feature_spaces import FeatureSpace, Options
from nanogen.metrics.geneval import Detection, chance, check_classes, intervals, judged, summarise
from nanogen.metrics.metric_files import Score, measure, write_metric
from nanogen.prompts.files import GENEVAL
from nanogen.prompts.simpleeval import BENCHMARK
from nanogen.statistics.prompts import METHOD


def score_distribution(
    content: Mapping[str, Any], features: Path, reference: Path, output: Path
) -> None:
    """Write one JSON file per metric of a ``distribution`` stage, given its JSON, into ``output``.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    stage = DistributionStage.from_json(content)
    with (
        hdf5.opened(features, *FEATURES, stage.expects["features"]) as samples,
        hdf5.opened(reference, *REFERENCE, stage.expects["reference"]) as real,
    ):
        keys = [key for key in ("method", "variant", "sample_set") if key in samples.attrs]
        about = {key: str(samples.attrs[key]) for key in keys} | {"task": "imagenet"}
        spaces = [FeatureSpace(name, samples, real) for name in stage.extractors]
        classifier = stage.classifier.name if stage.classifier else None
        options = Options(stage.mind_directions, classifier)
        asked = [metrics.BY_NAME[name] for name in stage.metrics]
        results = {metric.name: measure(metric)(spaces, options) for metric in asked}
    for metric, result in results.items():
        write_metric(output / f"{metric}.json", stage, metric, about, result)


def score_image_text(
    content: Mapping[str, Any], samples: Path, prompts_file: Path, output: Path
) -> None:
    """Write one JSON file per metric of an ``image_text`` stage, given its JSON, into ``output``.

    The metrics are computed on the images of GenEval's prompts.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    stage = ImageTextStage.from_json(content)
    judged = BenchmarkSamples(stage.expects, samples, prompts_file, GENEVAL)
    for name in stage.metrics:
        result = measure(metrics.BY_NAME[name])(judged, stage.seed)
        write_metric(output / f"{name}.json", stage, name, judged.about, result)


def geneval(
    prompts: Sequence[Mapping[str, Any]],
    of_image: Sequence[int],
    found: Sequence[Sequence[Detection]],
    how: str,
    headline: str = "tags",
) -> Score:
    """Compute GenEval's score, its interval and its chance level from the detections in each image.

    Args:
        of_image: image i belongs to prompts[of_image[i]].
        how: the detector's protocol.
        headline: see ``evaluation.geneval_headline``.
    """
    verdicts = judged(prompts, of_image, found)
    values = summarise(verdicts, headline) | intervals(verdicts, headline)
    by_chance = chance(prompts, of_image, found, headline=headline)
    values |= {"chance" if n == "geneval" else f"chance_{n}": v for n, v in by_chance.items()}
    mean = {"tags": "mean over tags", "images": "share of correct images"}[headline]
    protocol = (
        f"{len(found)} images of {len(set(map(int, of_image)))} prompts, GenEval's rules, {mean}; "
        f"{how}; {METHOD}; "
        "chance: the same images judged by other images' prompts"
    )
    return values, protocol


def score_geneval(
    content: Mapping[str, Any],
    samples: Path,
    prompts_file: Path,
    detector_folder: Path,
    output: Path,
    color_classifier_folder: Path | None = None,
) -> None:
    """Write the metric file of a ``geneval`` stage, given its JSON.

    It contains the score, those of the tags, their intervals, and the chance level.

    ``color_classifier_folder`` is needed for a detector that does not name colours.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    from nanogen.metrics.detector import load_detector
    from nanogen.models.card import expect_model

    stage = GenEvalStage.from_json(content)
    images = BenchmarkSamples(stage.expects, samples, prompts_file, GENEVAL)
    expect_model(detector_folder, stage.expects["detector"])
    color_classifier = None
    if color_classifier_folder is not None and stage.color_classifier is not None:
        expect_model(color_classifier_folder, stage.expects["color_classifier"])
        color_classifier = (color_classifier_folder, stage.color_classifier)
    detector = load_detector(detector_folder, stage.detector, color_classifier)
    check_classes(images.prompts, detector.classes)
    found = detector(images.images)
    result = geneval(images.prompts, images.of_image, found, detector.protocol, stage.headline)
    write_metric(output, stage, "geneval", images.about, result)


def score_simpleeval(
    content: Mapping[str, Any], samples: Path, prompts_file: Path, scorer_folder: Path, output: Path
) -> None:
    """Write the metric file of a ``simpleeval`` stage, given its JSON.

    It contains the score, those of the levels, their intervals, and the chance level.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    from nanogen.metrics.weak_scorer import load_weak_scorer
    from nanogen.models.card import expect_model, read_card

    stage = SimpleEvalStage.from_json(content)
    judged = BenchmarkSamples(stage.expects, samples, prompts_file, BENCHMARK)
    expect_model(scorer_folder, stage.expects["scorer"])
    scorer = load_weak_scorer(scorer_folder, stage.scorer)
    choices = simpleeval.Choices(judged.prompts)
    agreement = scorer(judged.images, choices.texts)
    right = choices.right(agreement, judged.of_image)
    scores = simpleeval.per_prompt(right, judged.of_image, len(choices))
    values = simpleeval.summarise(scores, choices.levels, stage.seed)
    values["simpleeval_chance"] = choices.chance(agreement, judged.of_image)
    real = (read_card(scorer_folder) or {"quality": {}})["quality"].get("real")
    protocol = (
        f"{len(judged.images)} images of {len(choices)} prompts in {len(set(choices.levels))} levels, "
        f"each compared with {len(choices.of_prompt[0])} texts of which one is true, "
        f"by {scorer.protocol}{f', right on {real:.3f} of real images' if real else ''}; {METHOD}; "
        "chance: the same images judged by other images' prompts"
    )
    write_metric(output, stage, "simpleeval", judged.about, (values, protocol))
