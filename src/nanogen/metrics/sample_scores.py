"""Measure all metrics of a sample set in one process, with a function for each stage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from nanogen.config.model_schema import Model
from nanogen.config.score_stages import measured
from nanogen.config.section import read
from nanogen.data import hdf5
from nanogen.errors import UserError, nearest
from nanogen.metrics import scores
from nanogen.metrics.feature_files import FEATURES, write_features
from nanogen.metrics.question_scores import SHIFTS, score_questions
from nanogen.metrics.vqa_score import VQAModel
from nanogen.models.card import expect_model
from nanogen.records import facts, record

log = logging.getLogger(__name__)
FEATURES_STAGE = "features"
Content = Mapping[str, Any]  # a stage's JSON
Made = list[tuple[Content, Path]]


@dataclass(frozen=True)
class SampleFiles:
    """The files that metrics of a sample set read; a metric needs only some of them.

    Attributes:
        networks: folders of networks, by their names in the stages' ``expects``.
        features: written first if it is missing or older than its inputs.
        reference: features and moments of the real images.
        captions: caption set -> folder with the moments of its images.
    """

    samples: Path
    networks: Mapping[str, Path] = field(default_factory=dict)
    prompts: Path | None = None
    questions: Path | None = None
    features: Path | None = None
    reference: Path | None = None
    captions: Mapping[str, Path] = field(default_factory=dict)

    def given(self, name: str) -> Path:
        """Return the file of this name; raises UserError if it is not given."""
        if (path := getattr(self, name)) is None:
            raise UserError(f"--{name} is missing: a metric needs it")
        return path

    def network(self, name: str) -> Path:
        """Return the folder of a network; raises UserError if it is not given."""
        if name not in self.networks:
            raise UserError(f"no folder is given for the network {name}: add --network {name}=DIR")
        return self.networks[name]


def score_samples(
    contents: Sequence[Content],
    files: SampleFiles,
    output: Path,
    only: Sequence[str] = (),
    batch_size: int = 128,
) -> Made:
    """Write one JSON per metric of the stages into the folder ``output``.

    If there are several processes, they share the extraction of features, and the first one measures.

    Args:
        contents: JSON of the stages, with stage ``features`` before the one that reads them.
        only: names of metrics; empty: all.
        batch_size: images read at a time for an extractor; it does not change results.

    Returns the stages that ran, each with the file or folder that it wrote.

    Raises UserError for an unknown stage or metric, and if an input is missing, damaged or made by
    another configuration.
    """
    _check(contents, only)
    made: Made = []
    for content in contents:
        if content["stage"] == FEATURES_STAGE:
            if _extract(content, files, batch_size):
                made.append((content, files.given("features")))
        elif facts.rank() == 0 and (names := _chosen(content, only)):
            MEASURES[content["stage"]](content, names, files, output)
            made.append((content, output))
    return made


def _check(contents: Sequence[Content], only: Sequence[str]) -> None:
    known = [FEATURES_STAGE, *MEASURES]
    for content in contents:
        if (stage := content.get("stage")) not in known:
            raise UserError(
                f"--config: stage {stage!r} measures no sample set{nearest(str(stage), known)}"
            )
    names = [name for content in contents if content["stage"] in MEASURES for name in measured(content)]
    for name in only:
        if name not in names:
            raise UserError(f"--metric {name}: the stages given do not measure it{nearest(name, names)}")


def _chosen(content: Content, only: Sequence[str]) -> list[str]:
    return [name for name in measured(content) if not only or name in only]


def _extract(content: Content, files: SampleFiles, batch_size: int) -> bool:
    """Write the features unless they are up to date; return whether they were written."""
    from nanogen.training.processes import processes

    output = files.given("features")
    folders = files.networks.values()
    made_from = chain([files.samples], (file for folder in folders for file in folder.iterdir()))
    made = hdf5.is_made(output, *FEATURES, content["hash"], made_from)
    if made and record.is_there(output):
        log.info("%s: the features are there already", output)
        return False
    with processes() as group:
        write_features(content, files.samples, files.networks, output, batch_size, group)
    return True


def _distribution(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    inputs = files.given("features"), files.given("reference")
    scores.score_distribution({**content, "use": {"metrics": names}}, *inputs, output)


def _image_text(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    inputs = files.samples, files.given("prompts")
    scores.score_image_text({**content, "use": {"metrics": names}}, *inputs, output)


def _geneval(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    inputs = files.samples, files.given("prompts"), files.network("detector")
    colors = files.networks.get("color_classifier")
    scores.score_geneval(content, *inputs, output / "geneval.json", colors)


def _simpleeval(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    inputs = files.samples, files.given("prompts"), files.network("scorer")
    scores.score_simpleeval(content, *inputs, output / "simpleeval.json")


def _clip_score(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    from nanogen.metrics.clip_score import score_clip

    inputs = files.samples, files.given("prompts"), files.network("matcher")
    score_clip(content, *inputs, output / "clip_score.json")


def _caption_fid(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    from nanogen.metrics.caption_fid import score_captions

    inputs = files.samples, files.given("prompts"), files.network("extractor")
    score_captions(content, names, *inputs, files.captions, output)


def _question_scores(content: Content, names: Sequence[str], files: SampleFiles, output: Path) -> None:
    from nanogen.metrics.vqa import OWN, load_vqa

    loaded: dict[Path, VQAModel] = {}  # one network often serves both metrics
    for name in names:
        folder = files.network(f"{name}_model")
        expect_model(folder, content["expects"][f"{name}_model"])
        model = read(Model, content["models"][name])
        answering = loaded[folder] = loaded.get(folder) or load_vqa(folder, model)
        inputs = files.samples, files.given("prompts"), files.questions
        # no chance level for the large judges: it would triple their running time
        shifts = 0 if model.model_class in OWN else SHIFTS
        score_questions(content, *inputs, {name: answering}, output, shifts)


# Functions of a stage's JSON, the names of the metrics to measure, the files, and the output folder.
MEASURES: dict[str, Callable[[Content, Sequence[str], SampleFiles, Path], None]] = {
    "distribution": _distribution,
    "geneval": _geneval,
    "question_scores": _question_scores,
    "simpleeval": _simpleeval,
    "clip_score": _clip_score,
    "caption_fid": _caption_fid,
    "image_text": _image_text,
}
