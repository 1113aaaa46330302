"""The stages ``sample`` and ``online`` as typed values, for the code that draws images.

`nanogen.config.stages` writes them as JSON, which is hashed. A section's keys are those of
`nanogen.config.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nanogen.config.model_schema import Model
from nanogen.config.schema import PipelineSampling, Sampling
from nanogen.config.section import read
from nanogen.config.stage_values import typed
from nanogen.config.train_stage import TrainStage


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """What determines the images of a trained model."""

    train: TrainStage
    sampling: Sampling
    seed: int


@dataclass(frozen=True, kw_only=True)
class SetStage:
    """A set of images.

    Attributes:
        expects: hashes of its inputs, by name.
        images_per_prompt: 0 for a set that is drawn by class.
    """

    hash: str
    expects: Mapping[str, str]
    seed: int
    method: str
    task: str
    variant: str
    images_per_prompt: int = 0


@dataclass(frozen=True, kw_only=True)
class PublicSampleStage(SetStage):
    """The sample set of a public model.

    Attributes:
        model_class: the class of its pipeline.
        offload: keep only the network that is computing on the GPU.
    """

    sampling: PipelineSampling
    model_class: str
    offload: bool

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        model_class, offload = content["pipeline"]["model_class"], content["use"]["offload"]
        return typed(cls, content, model_class=model_class, offload=offload)


@dataclass(frozen=True, kw_only=True)
class TrainedSetStage(SetStage, Sampler):
    """A set of images that a model trained here draws.

    Attributes:
        images: their number; 0 for a set that is drawn from prompts.
        tokenizer: the tokenizer's name, or ``pixels``.
        tokenizer_model: its configuration; None for pixels, and in a stage that an older version wrote.
    """

    images: int = 0
    tokenizer: str
    tokenizer_model: Model | None = None


@dataclass(frozen=True, kw_only=True)
class SampleStage(TrainedSetStage):
    """A sample set.

    Attributes:
        kept: the training step whose average of the weights draws it; None: the last one.
        shown: how many of its images are drawn; None: all.
    """

    kept: int | None = None
    shown: int | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return typed(cls, {**content, **content.get("use", {})})


@dataclass(frozen=True, kw_only=True)
class OnlineStage(TrainedSetStage):
    """The evaluation of a run while it is trained.

    Attributes:
        every: steps between evaluations.
        batch_size: images at a time.
        networks: the networks that measure, by role: ``extractor``, or ``detector`` and perhaps
            ``color_classifier``.
        headline: whether GenEval's score is a mean over ``tags`` or over ``images``.
    """

    every: int
    batch_size: int
    networks: Mapping[str, Model]
    headline: str = "tags"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        roles = ("extractor", "detector", "color_classifier")
        networks = {role: read(Model, content[role]) for role in roles if role in content}
        return typed(cls, {**content, **content["use"]}, networks=networks)


def sample_stage(content: Mapping[str, Any]) -> SampleStage | PublicSampleStage:
    """The ``sample`` stage of a model trained here or of a public one."""
    stage = PublicSampleStage if "pipeline" in content else SampleStage
    return stage.from_json(content)
