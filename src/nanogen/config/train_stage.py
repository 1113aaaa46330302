"""What the ``train`` stage says, as the code that computes reads it.

`nanogen.config.stages.train` writes the stage, JSON that is hashed; here it becomes values with types.
The keys of a section are the section's own (`nanogen.config.schema`).
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
    """What the objective's terms add to a backbone; None: the term is not there.

    Attributes:
        cls_width: of the feature that is diffused beside the image (REG).
        repa_depth, repa_width, repa_head: the block that is aligned, the features' width, the kind of
            head (REPA).
        guidance_depth: the block after which the shallower head reads (internal guidance).
    """

    cls_width: int | None = None
    repa_depth: int | None = None
    repa_width: int | None = None
    repa_head: str | None = None
    guidance_depth: int | None = None

    def keys(self) -> dict[str, Any]:
        """Those that are there, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class BackboneStage:
    """A backbone and how it learns: of a ``train`` stage, or of a VAE that is tuned with it.

    Attributes:
        latent: (channels, rows, columns) of what it sees.
        text_width: of the text encoder's features; None where labels are the condition.
        steps_seed: draws which steps are MeanFlow's; None for other objectives.
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
    """What a training starts with of another's (`nanogen.config.schema.InitialiseFrom`)."""

    weights: str
    optimizer: str


@dataclass(frozen=True)
class UsedNetwork:
    """A frozen network that a model is sampled with: its hash, and its configuration."""

    hash: str
    model: Model


@dataclass(frozen=True)
class Use:
    """What a trained model is sampled with by hand; None: it has no tokenizer, or reads no text.

    Attributes:
        classes: names of the folders of photographs that it was trained on, by label, if it was.
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
        expects: hashes of what it reads.
        pixels: it has no tokenizer.
        networks: the frozen networks that terms compare with, by term.
        initial: what is taken of the model that it starts from; None: its weights are drawn.
        use: None inside of a sample set's stage.
        content: the JSON that all of it was read from.
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
    """The fields of `BackboneStage` that lie inside of sections' keys."""
    own, meanflow = Backbone.model_fields, content["objective"].get("meanflow", {})
    heads = {key: value for key, value in content["backbone"].items() if key not in own}
    return {"heads": Heads(**heads), "steps_seed": meanflow.get("steps_seed")}
