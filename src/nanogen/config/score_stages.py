"""What the stages that measure sample sets and tokenizers say, as the code that measures reads it.

`nanogen.config.stages` writes them, JSON that is hashed; here they become values with types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nanogen.config.model_schema import Model
from nanogen.config.section import read


@dataclass(frozen=True, kw_only=True)
class ScoreStage:
    """A measurement; ``expects`` are the hashes of what it reads."""

    hash: str
    expects: Mapping[str, str]


class Classifier(NamedTuple):
    """The extractor that class accuracy counts by, and how many classes it must know."""

    name: str
    classes: int


@dataclass(frozen=True, kw_only=True)
class FeaturesStage(ScoreStage):
    """The stages ``features``, of a sample set, and ``reference``, of the real images.

    Attributes:
        classifier: None where class accuracy is not measured.
        real_images: of a reference, the split whose features are kept: ``train`` or ``val``.
    """

    extractors: tuple[Model, ...]
    classifier: Classifier | None
    real_images: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FeaturesStage:
        return cls(
            **_made_of(content),
            extractors=tuple(read(Model, keys) for keys in content["extractors"]),
            classifier=_classifier(content),
            real_images=content.get("real_images", "train"),
        )


@dataclass(frozen=True, kw_only=True)
class DistributionStage(ScoreStage):
    """The metrics of a sample set that compare features.

    Attributes:
        extractors: names, in the features' file and in the reference's.
        metrics: names of those that are asked for.
    """

    mind_directions: int
    extractors: tuple[str, ...]
    classifier: Classifier | None
    metrics: tuple[str, ...]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DistributionStage:
        return cls(
            **_made_of(content),
            mind_directions=content["mind_directions"],
            extractors=tuple(content["extractors"]),
            classifier=_classifier(content),
            metrics=tuple(content["use"]["metrics"]),
        )


@dataclass(frozen=True, kw_only=True)
class GenEvalStage(ScoreStage):
    """GenEval; ``color_classifier`` is None where the detector sees colours itself.

    Attributes:
        headline: what the score is a mean of, ``tags`` or ``images``.
    """

    detector: Model
    color_classifier: Model | None
    headline: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> GenEvalStage:
        return cls(
            **_made_of(content),
            detector=read(Model, content["detector"]),
            color_classifier=_model(content.get("color_classifier")),
            headline=content.get("headline", "tags"),
        )


@dataclass(frozen=True, kw_only=True)
class QuestionScoresStage(ScoreStage):
    """The metrics that are measured by questions; ``models`` answer them, by metric."""

    models: Mapping[str, Model]
    images_per_prompt: int

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> QuestionScoresStage:
        return cls(
            **_made_of(content),
            models={metric: read(Model, keys) for metric, keys in content["models"].items()},
            images_per_prompt=content["images_per_prompt"],
        )


@dataclass(frozen=True, kw_only=True)
class SimpleEvalStage(ScoreStage):
    """SimpleEval; ``scorer`` compares images with texts."""

    seed: int
    scorer: Model

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SimpleEvalStage:
        return cls(**_made_of(content), seed=content["seed"], scorer=read(Model, content["scorer"]))


@dataclass(frozen=True, kw_only=True)
class ImageTextStage(ScoreStage):
    """The metrics of images of texts that need no network; ``metrics`` are those asked for."""

    seed: int
    metrics: tuple[str, ...]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ImageTextStage:
        metrics = tuple(content["use"]["metrics"])
        return cls(**_made_of(content), seed=content["seed"], metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class ReconstructionStage(ScoreStage):
    """What a tokenizer gives back of validation images.

    Attributes:
        perceptual: of LPIPS; None where it is not measured.
        untrained: whether the tokenizer is also measured as it was before its training.
        pixels: how images become bytes, as in ``Sampling``.
    """

    seed: int
    tokenizer: Model
    extractor: Model
    perceptual: Model | None
    untrained: bool
    pixels: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ReconstructionStage:
        return cls(
            **_made_of(content),
            seed=content["seed"],
            tokenizer=read(Model, content["tokenizer"]),
            extractor=read(Model, content["extractor"]),
            perceptual=_model(content["perceptual"]),
            untrained=content["untrained"],
            pixels=content.get("pixels", "rounded"),
        )


@dataclass(frozen=True, kw_only=True)
class GuidanceStage(ScoreStage):
    """The choice of a method's guidance; ``scales`` are by the sample sets that were drawn with them."""

    method: str
    task: str
    scales: Mapping[str, float]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> GuidanceStage:
        return cls(
            **_made_of(content),
            method=content["method"],
            task=content["task"],
            scales=content["scales"],
        )


def measured(content: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a stage of sample sets measures."""
    if "use" in content:
        return list(content["use"]["metrics"])
    return list(content.get("models", [content["stage"]]))


def packaged(content: Mapping[str, Any]) -> list[str]:
    """Those of the metrics whose model a package runs: its class is ``PACKAGE:MODEL``."""
    return [metric for metric, keys in content.get("models", {}).items() if ":" in keys["model_class"]]


def _made_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `ScoreStage`."""
    return {"hash": content["hash"], "expects": content["expects"]}


def _model(keys: Mapping[str, Any] | None) -> Model | None:
    return None if keys is None else read(Model, keys)


def _classifier(content: Mapping[str, Any]) -> Classifier | None:
    return Classifier(**content["classifier"]) if "classifier" in content else None
