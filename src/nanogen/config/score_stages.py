"""The stages that measure sample sets and tokenizers as typed values, for the code that measures.

`nanogen.config.stages` writes them as JSON, which is hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nanogen.config.model_schema import Model
from nanogen.config.stage_values import typed


@dataclass(frozen=True, kw_only=True)
class ScoreStage:
    """A measurement; ``expects`` holds the hashes of its inputs, by name."""

    hash: str
    expects: Mapping[str, str]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a stage, which may be an older version's."""
        return typed(cls, content)


@dataclass(frozen=True, kw_only=True)
class ListStage(ScoreStage):
    """A measurement of several metrics; ``metrics`` are the names of those to measure."""

    metrics: tuple[str, ...]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return typed(cls, content, metrics=tuple(content["use"]["metrics"]))


@dataclass(frozen=True)
class Classifier:
    """The extractor whose predictions give the class accuracy, and how many classes it must know."""

    name: str
    classes: int


@dataclass(frozen=True, kw_only=True)
class FeaturesStage(ScoreStage):
    """The stages ``features`` (of a sample set) and ``reference`` (of the real images).

    Attributes:
        classifier: None if class accuracy is not measured.
        real_images: the split whose features a reference contains, ``train`` or ``val``.
    """

    extractors: tuple[Model, ...]
    classifier: Classifier | None = None
    real_images: str = "train"


@dataclass(frozen=True, kw_only=True)
class DistributionStage(ListStage):
    """The metrics of a sample set that compare features.

    Attributes:
        extractors: names of the groups in the files of the features and of the reference.
    """

    mind_directions: int
    extractors: tuple[str, ...]
    classifier: Classifier | None = None


@dataclass(frozen=True, kw_only=True)
class GenEvalStage(ScoreStage):
    """GenEval; ``color_classifier`` is None if the detector names colours itself.

    Attributes:
        headline: whether the score is a mean over ``tags`` or over ``images``.
    """

    detector: Model
    color_classifier: Model | None = None
    headline: str = "tags"


@dataclass(frozen=True, kw_only=True)
class QuestionScoresStage(ScoreStage):
    """The metrics that are measured by questions; ``models`` are those that answer, by metric."""

    models: Mapping[str, Model]
    images_per_prompt: int


@dataclass(frozen=True, kw_only=True)
class SimpleEvalStage(ScoreStage):
    """SimpleEval; ``scorer`` compares images with texts."""

    seed: int
    scorer: Model


@dataclass(frozen=True, kw_only=True)
class ClipScoreStage(ScoreStage):
    """CLIPScore; ``matcher`` is the CLIP network that images and prompts are compared with."""

    matcher: Model


@dataclass(frozen=True, kw_only=True)
class CaptionReferenceStage(ScoreStage):
    """Moments of the images of a set of captions (`nanogen.prompts.caption_sets`).

    Attributes:
        captions: name of the set; ``source`` is its folder or data set on the hub.
        moments: the hash of the user's moments, which are used instead of images if there are any.
        resolution: side in pixels that images are brought to.
    """

    captions: str
    source: str
    moments: str | None
    resolution: int
    extractor: Model


@dataclass(frozen=True, kw_only=True)
class CaptionFidStage(ListStage):
    """FID on sets of captions; ``extractor`` is the network whose features are compared."""

    extractor: Model


@dataclass(frozen=True, kw_only=True)
class ImageTextStage(ListStage):
    """The metrics of images and their prompts that need no network."""

    seed: int


@dataclass(frozen=True, kw_only=True)
class ReconstructionStage(ScoreStage):
    """A tokenizer's reconstructions of validation images.

    Attributes:
        perceptual: the network of LPIPS; None if LPIPS is not measured.
        untrained: whether the tokenizer is also measured with its initial weights.
        pixels: how images are converted to bytes, as in ``Sampling``.
    """

    seed: int
    tokenizer: Model
    extractor: Model
    perceptual: Model | None
    untrained: bool
    pixels: str = "rounded"


@dataclass(frozen=True, kw_only=True)
class GuidanceStage(ScoreStage):
    """The choice of a method's guidance; ``scales`` maps sample sets to their guidance scales."""

    method: str
    task: str
    scales: Mapping[str, float]


def measured(content: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a stage of sample sets measures."""
    if "use" in content:
        return list(content["use"]["metrics"])
    return list(content.get("models", [content["stage"]]))
