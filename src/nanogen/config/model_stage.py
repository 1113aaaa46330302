"""The ``model`` stage as typed values, for the code that builds the network.

`nanogen.config.stages` writes the stage as JSON, which is hashed. The network's keys are those of the
section `nanogen.config.model_schema.Model`.
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
    """How one frozen network is built: by training, or with random weights.

    Attributes:
        expects: hashes of its inputs, by name.
        networks: the frozen networks that it is trained with, by role.
        joint: the backbone that a VAE is tuned with end to end; None for other networks.
        resolution: side of the study's images in pixels, for a network with random weights; None for a
            trained one.
        content: the JSON that these values were read from.
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
        assert self.model.stage1 is not None, f"{self.model.name} is not a tokenizer trained here"
        return self.model.stage1

    @property
    def training(self) -> ModelTraining:
        """How any other network is trained."""
        assert self.model.training is not None, f"{self.model.name} has no key 'training'"
        return self.model.training
