"""The ``train`` stage as typed values, for the code that trains and samples.

`nanogen.config.stages.train` writes the stage as JSON, which is hashed. A section's keys are those of
`nanogen.config.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from nanogen.config.model_schema import Model
from nanogen.config.schema import (
    Backbone,
    Conditioner,
    Data,
    Objective,
    Sampling,
    Training,
)
from nanogen.config.stage_values import typed


@dataclass(frozen=True)
class Heads:
    """What the objective's terms add to a backbone; None means that the term is absent.

    Attributes:
        cls_width: width of the feature that is denoised together with the image (REG).
        repa_depth, repa_width, repa_head: the aligned block, the width of the features, the kind of
            head (REPA).
        guidance_depth: the block whose output the shallower head reads (internal guidance).
    """

    cls_width: int | None = None
    repa_depth: int | None = None
    repa_width: int | None = None
    repa_head: str | None = None
    guidance_depth: int | None = None

    def keys(self) -> dict[str, Any]:
        """The keys that are not None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class BackboneStage:
    """A backbone and its training, from a ``train`` stage or from that of a VAE tuned together with it.

    Attributes:
        latent: (channels, rows, columns) of its input.
        text_width: width of the text encoder's features; None for a backbone conditioned on labels.
        steps_seed: seed of the choice of MeanFlow's steps; None for other objectives.
    """

    seed: int
    method: str
    task: str
    latent: tuple[int, int, int]
    text_width: int | None
    conditioner: Conditioner
    backbone: Backbone
    heads: Heads
    objective: Objective
    steps_seed: int | None
    training: Training

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return typed(cls, content, **_derived(content))


@dataclass(frozen=True)
class Initial:
    """What a training takes from another one at its start (`nanogen.config.schema.InitialiseFrom`)."""

    weights: str
    optimizer: str


@dataclass(frozen=True)
class UsedNetwork:
    """A frozen network that is needed to sample from a model: its hash and its configuration."""

    hash: str
    model: Model


@dataclass(frozen=True)
class Use:
    """What is needed to sample from a trained model by hand.

    Attributes:
        tokenizer: None for a model of pixels.
        text_encoder: None for a model conditioned on labels.
        classes: names of the class folders by label, for a model trained on folders of photographs.
    """

    sampling: Sampling
    data: Data
    tokenizer: UsedNetwork | None
    text_encoder: UsedNetwork | None
    classes: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainStage(BackboneStage):
    """The training of one method on one task.

    Attributes:
        expects: hashes of its inputs, by name.
        pixels: whether the backbone works on pixels, without a tokenizer.
        networks: the frozen networks of added loss terms, by term.
        initial: what is taken from the model that it starts from; None: initial weights are random.
        use: None inside a sample set's stage.
        content: the JSON that these values were read from.
    """

    hash: str
    expects: Mapping[str, str]
    pixels: bool
    content: Mapping[str, Any] = field(repr=False)
    networks: Mapping[str, Model] = field(default_factory=dict)
    initial: Initial | None = None
    use: Use | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a stage, which may be an older version's."""
        return typed(cls, content, **_derived(content), content=content)


def _derived(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `BackboneStage` that are stored inside the keys of sections."""
    own, meanflow = Backbone.model_fields, content["objective"].get("meanflow", {})
    heads = {key: value for key, value in content["backbone"].items() if key not in own}
    return {"heads": Heads(**heads), "steps_seed": meanflow.get("steps_seed")}
