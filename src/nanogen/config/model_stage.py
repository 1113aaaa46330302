"""What the ``model`` stage says of a network that is made here, as the code that makes it reads it.

`nanogen.config.stages` writes the stage, JSON that is hashed; here it becomes values with types. The
keys of the network are the section's own (`nanogen.config.model_schema.Model`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nanogen.config.model_schema import Model, ModelTraining
from nanogen.config.stage_values import typed
from nanogen.config.tokenizer_schema import TokenizerTraining
from nanogen.config.train_stage import BackboneStage


@dataclass(frozen=True, kw_only=True)
class ModelStage:
    """The making of one frozen network: it is trained, or drawn at random.

    Attributes:
        expects: hashes of what it reads.
        networks: the frozen networks that it is trained with, by role.
        joint: the backbone that a VAE is tuned with end to end; None of others.
        resolution: side of the study's images, for a network drawn at random; None of a trained one.
        content: the JSON that all of it was read from.
    """

    hash: str
    expects: Mapping[str, str]
    seed: int
    model: Model
    content: Mapping[str, Any] = field(repr=False)
    networks: Mapping[str, Model] = field(default_factory=dict)
    joint: BackboneStage | None = None
    resolution: int | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ModelStage:
        """Read a stage, which may be an older version's."""
        return typed(cls, content, content=content)

    @property
    def tokenizer_training(self) -> TokenizerTraining:
        """How a tokenizer is trained."""
        assert self.model.stage1 is not None, f"{self.model.name} is no tokenizer trained here"
        return self.model.stage1

    @property
    def training(self) -> ModelTraining:
        """How any other network is trained."""
        assert self.model.training is not None, f"{self.model.name} has no key 'training'"
        return self.model.training
