"""Text-to-image metrics by name, for images from any origin.

A study's own sample sets are scored by its rules (`nanogen.metrics.sample_scores`). An entry of
``METRICS`` has a function that reads prompts, and one that maps images and prompts to numbers, their
protocol and a line for every image.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nanogen.config import load_model, load_run
from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.model_schema import Model
from nanogen.config.paths import Paths
from nanogen.config.plan import require_weights
from nanogen.config.section import read
from nanogen.config.study_schema import Study
from nanogen.data.prompted_images import drawn_images, passed_over, read_image
from nanogen.errors import UserError, nearest
from nanogen.files import label, write_json, write_text
from nanogen.identity import config_hash
from nanogen.metrics import dpg, scores, vqa_score
from nanogen.metrics.detector import load_detector
from nanogen.metrics.geneval import check_classes, judge
from nanogen.metrics.mask2former import MASK2FORMER
from nanogen.metrics.metric_files import METRIC
from nanogen.metrics.question_scores import SampleSet, answers, shown, with_interval
from nanogen.metrics.vqa import load_vqa
from nanogen.metrics.vqa_score import VQAModel
from nanogen.models.card import read_card
from nanogen.prompts.files import read_prompts, read_texts
from nanogen.prompts.questions import item_of, of_prompt
from nanogen.statistics.prompts import METHOD

log = logging.getLogger(__name__)
Prompt = Mapping[str, Any]


@dataclass(frozen=True)
class Networks:
    """The frozen networks that metrics use: those of a study, unless a folder is given for the role.

    Attributes:
        given: role -> folder, e.g. ``{"detector": Path("models/mask2former")}``.
    """

    study: Study
    given: Mapping[str, Path] = field(default_factory=dict)

    @property
    def evaluation(self) -> Evaluation:
        return load_run(self.study, self.study.methods[0], "t2i").evaluation

    def find(self, role: str, name: str) -> tuple[Path, Model]:
        """Folder and configuration of the network ``name`` (a file in config/models).

        The configuration is that in the folder's card or, without a card, the study's. Raises UserError
        if there are no weights; the message says where they come from and how large they are.
        """
        model = load_model(self.study, name)
        folder = self.given.get(role, Path(Paths(self.study).model(name)))
        option = f"--{role.replace('_', '-')}"
        require_weights(self.study, model, folder, f"give the folder of a copy as {option}")
        card = read_card(folder)
        keys = model.model_dump(mode="json")
        return folder, read(Model, {**keys, **(card or {}).get("model", {})})


@dataclass(frozen=True)
class Result:
    """The result of a metric: numbers by name, a protocol sentence, and a dictionary for each image."""

    values: dict[str, float]
    protocol: str
    images: list[dict[str, Any]]


@dataclass(frozen=True)
class Metric:
    """A metric: the functions that read a file of prompts and that score images of them.

    In ``score(prompts, files, networks)``, ``files`` maps a prompt's index to its image files.
    """

    read_prompts: Callable[[Path], list[dict[str, Any]]]
    score: Callable[[Sequence[Prompt], Mapping[int, list[Path]], Networks], Result]


def geneval(prompts: Sequence[Prompt], files: Mapping[int, list[Path]], networks: Networks) -> Result:
    """Compute GenEval with the study's detector; list the decision and its reason for every image."""
    name = networks.evaluation.detector
    if name is None:
        raise UserError("evaluation.detector names GenEval's detector, a file in config/models")
    folder, model = networks.find("detector", name)
    colors = load_model(networks.study, name).color_classifier
    color_classifier = None
    if model.model_class == MASK2FORMER and colors is not None:
        color_classifier = networks.find("color_classifier", colors)
    detector = load_detector(folder, model, color_classifier)
    check_classes(prompts, detector.classes)
    drawn = [(p, file) for p, images in files.items() for file in images]
    found = [detector(read_image(file)[None])[0] for _, file in tqdm(drawn, "objects", disable=None)]
    headline = networks.evaluation.geneval_headline
    values, protocol = scores.geneval(prompts, [p for p, _ in drawn], found, detector.protocol, headline)
    images = []
    for (p, file), seen in zip(drawn, found, strict=True):
        correct, reason = judge(prompts[p], seen)
        about = {key: prompts[p][key] for key in ("prompt", "tag")}
        images.append({"file": str(file), **about, "correct": correct, "reason": reason})
    return Result(values, protocol, images)


class Pictures(Sequence[np.ndarray]):
    """Image files, each read when it is indexed: uint8 (H, W, 3)."""

    def __init__(self, files: Sequence[Path]):
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        return read_image(self.files[index])


def _samples(prompts: Sequence[Prompt], files: Mapping[int, list[Path]]) -> tuple[SampleSet, list[Path]]:
    """Return the images with the index of each one's prompt, and their files."""
    drawn = [file for images in files.values() for file in images]
    places = np.array([prompt for prompt, images in files.items() for _ in images])
    return SampleSet(Pictures(drawn), places, prompts, {}), drawn


def _answering(metric: str, networks: Networks) -> tuple[VQAModel, str]:
    """Return the model that answers questions for ``metric``, and its name.

    It is the one in the folder given as ``vqa``, or the study's, or else ``vqa``.
    """
    chosen = None if "vqa" in networks.given else getattr(networks.evaluation, metric)
    folder, model = networks.find("vqa", chosen or "vqa")
    return load_vqa(folder, model), str(model.name)


def dpg_bench(prompts: Sequence[Prompt], files: Mapping[int, list[Path]], networks: Networks) -> Result:
    """Compute DPG-Bench with questions derived from the prompts' metadata.

    Lists the questions that were answered with no for every image.
    """
    samples, drawn = _samples(prompts, files)
    graph = {
        item_of(place, prompt): of_prompt(item_of(place, prompt), prompt)
        for place, prompt in enumerate(prompts)
    }
    model, name = _answering("dpg", networks)
    said = answers(graph, samples, model)
    lines = [
        {"file": str(file), "no": [q.text for q, yes in zip(graph[item], given, strict=True) if not yes]}
        for file, (item, given) in zip(drawn, said, strict=True)
    ]
    protocol = f"{samples}, questions made from their metadata; {name}: {model.protocol}; {METHOD}"
    values = dpg.score(graph, said)
    values |= with_interval("dpg_bench", dpg.per_image(graph, said), samples)
    return Result(values, protocol, lines)


def genai(prompts: Sequence[Prompt], files: Mapping[int, list[Path]], networks: Networks) -> Result:
    """Compute VQAScore; list the probability of every image that it shows its prompt."""
    samples, drawn = _samples(prompts, files)
    model, name = _answering("genai", networks)
    probabilities = shown(samples, model)
    lines = [
        {"file": str(file), "prompt": prompts[place]["prompt"], "probability": float(probability)}
        for file, place, probability in zip(drawn, samples.of_image, probabilities, strict=True)
    ]
    values = vqa_score.score(prompts, samples.of_image, probabilities)
    values |= with_interval("genai_bench", probabilities, samples)
    return Result(values, f"{samples}, mean P(yes); {name}: {model.protocol}; {METHOD}", lines)


METRICS: dict[str, Metric] = {
    "geneval": Metric(read_prompts, geneval),
    "dpg": Metric(read_prompts, dpg_bench),
    "genai": Metric(read_texts, genai),
}


def score_images(
    names: Sequence[str], folder: Path, prompts_file: Path, networks: Networks
) -> dict[str, Result]:
    """Compute the metrics ``names`` for the images in ``folder`` (`data.prompted_images`).

    Raises UserError for an unknown metric, before anything is loaded, and for invalid images, prompts or
    networks.
    """
    for name in names:
        if name not in METRICS:
            raise UserError(f"unknown text-to-image metric {name!r}{nearest(name, METRICS)}")
    results = {}
    for name in names:
        prompts = METRICS[name].read_prompts(prompts_file)
        drawn = drawn_images(folder, len(prompts))
        found = METRICS[name].score(prompts, drawn, networks)
        if passed := passed_over(folder, drawn):
            log.warning("%s: passed over %s", folder, passed)
            found = replace(found, protocol=f"{found.protocol}; passed over: {passed}")
        results[name] = found
        log.info("%s: %s", name, results[name].protocol)
    return results


def write_result(output: Path, name: str, result: Result, folder: Path, prompts_file: Path) -> None:
    """Write NAME.json, in the format of a study's metrics, and NAME.jsonl with a line per image."""
    files = [Path(image["file"]) for image in result.images]
    inputs = {
        "images": config_hash([hashlib.sha256(file.read_bytes()).hexdigest() for file in files]),
        "prompts": config_hash(METRICS[name].read_prompts(prompts_file)),
    }
    header = label(*METRIC, config_hash([name, inputs]), metric=name, images=str(folder))
    result_of = {"values": result.values, "protocol": result.protocol, "inputs": inputs}
    write_json(output / f"{name}.json", {**header, **result_of})
    lines = [json.dumps(image, ensure_ascii=False) + "\n" for image in result.images]
    write_text(output / f"{name}.jsonl", "".join(lines))
