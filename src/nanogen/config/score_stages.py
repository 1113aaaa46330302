"""What the stages that measure sample sets and tokenizers say, as the code that measures reads it.

`nanogen.config.stages` writes them, JSON that is hashed; here they become values with types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nanogen.config.model_schema import Model
from nanogen.config.stage_values import typed


@dataclass(frozen=True, kw_only=True)
class ScoreStage:
    """A measurement; ``expects`` are the hashes of what it reads."""

    hash: str
    expects: Mapping[str, str]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a stage, which may be an older version's."""
        return typed(cls, content)


@dataclass(frozen=True)
class Classifier:
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
    classifier: Classifier | None = None
    real_images: str = "train"


@dataclass(frozen=True, kw_only=True)
class DistributionStage(ScoreStage):
    """The metrics of a sample set that compare features.

    Attributes:
        extractors: names, in the features' file and in the reference's.
        metrics: names of those that are asked for.
    """

    mind_directions: int
    extractors: tuple[str, ...]
    classifier: Classifier | None = None
    metrics: tuple[str, ...]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return typed(cls, content, metrics=tuple(content["use"]["metrics"]))


@dataclass(frozen=True, kw_only=True)
class GenEvalStage(ScoreStage):
    """GenEval; ``color_classifier`` is None where the detector sees colours itself.

    Attributes:
        headline: what the score is a mean of, ``tags`` or ``images``.
    """

    detector: Model
    color_classifier: Model | None = None
    headline: str = "tags"


@dataclass(frozen=True, kw_only=True)
class QuestionScoresStage(ScoreStage):
    """The metrics that are measured by questions; ``models`` answer them, by metric."""

    models: Mapping[str, Model]
    images_per_prompt: int


@dataclass(frozen=True, kw_only=True)
class SimpleEvalStage(ScoreStage):
    """SimpleEval; ``scorer`` compares images with texts."""

    seed: int
    scorer: Model


@dataclass(frozen=True, kw_only=True)
class ImageTextStage(ScoreStage):
    """The metrics of images of texts that need no network; ``metrics`` are those asked for."""

    seed: int
    metrics: tuple[str, ...]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return typed(cls, content, metrics=tuple(content["use"]["metrics"]))


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
    pixels: str = "rounded"


@dataclass(frozen=True, kw_only=True)
class GuidanceStage(ScoreStage):
    """The choice of a method's guidance; ``scales`` are by the sample sets that were drawn with them."""

    method: str
    task: str
    scales: Mapping[str, float]


def measured(content: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a stage of sample sets measures."""
    if "use" in content:
        return list(content["use"]["metrics"])
    return list(content.get("models", [content["stage"]]))


def packaged(content: Mapping[str, Any]) -> list[str]:
    """Those of the metrics whose model a package runs: its class is ``PACKAGE:MODEL``."""
    return [metric for metric, keys in content.get("models", {}).items() if ":" in keys["model_class"]]
