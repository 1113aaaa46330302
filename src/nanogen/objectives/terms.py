"""Build an objective from its configuration: a base loss by kind, and added terms by name.

To add a term, write a class with the interface `Term` in a new module and add it to `TERMS`. A term
that compares images with a frozen network also needs an entry in `LOADERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from nanogen.backbones.embeddings import Conditioning
from nanogen.config import schema
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.models.card import expect_model
from nanogen.models.perceptual import load_perceptual
from nanogen.objectives.batch import Batch
from nanogen.objectives.flow_matching import FlowMatching, Predicted
from nanogen.objectives.internal_guidance import InternalGuidance
from nanogen.objectives.meanflow import MeanFlow
from nanogen.objectives.patch_features import PatchFeatures, load_patch_features
from nanogen.objectives.perceptual import Perceptual
from nanogen.objectives.reg import Reg
from nanogen.objectives.repa import Repa

Objective = Callable[[nn.Module, Batch, Conditioning], dict[str, Tensor]]
Networks = Mapping[str, nn.Module]  # name of a term -> its frozen network


class Term(Protocol):
    """An added term, built from its configuration, the base loss, and its frozen network if any."""

    def __init__(self, keys: schema.Term, base: FlowMatching, network: nn.Module | None): ...

    def __call__(self, predicted: Predicted) -> Tensor:
        """Return the loss, a scalar, before it is multiplied by its coefficient."""
        ...


BASES: dict[str, type[FlowMatching] | type[MeanFlow]] = {
    "flow-matching": FlowMatching,
    "meanflow": MeanFlow,
}
TERMS: dict[str, type[Term]] = {
    "reg": Reg,
    "repa": Repa,
    "internal-guidance": InternalGuidance,
    "lpips": Perceptual,
    "features": PatchFeatures,
}
LOADERS = {"lpips": load_perceptual, "features": load_patch_features}


class WithTerms:
    """The base loss plus every term times its coefficient; each term is also returned by its name."""

    def __init__(self, base: FlowMatching, terms: Mapping[str, tuple[float, Term]]):
        self.base, self.terms = base, dict(terms)

    def __call__(self, model: nn.Module, batch: Batch, conditioner: Conditioning) -> dict[str, Tensor]:
        predicted = self.base.predicted(model, batch, conditioner)
        losses = {"velocity": self.base.error(predicted)}
        total = losses["velocity"]
        for name, (coefficient, term) in self.terms.items():
            losses[name] = term(predicted)
            total = total + coefficient * losses[name]
        return {"loss": total, **losses}


def objective_of(stage: TrainStage, networks: Networks | None = None) -> Objective:
    """Build the objective of a ``train`` stage with the frozen networks of its terms (`term_networks`).

    Raises UserError if the network of a term is missing.
    """
    keys = stage.objective
    base = BASES[keys.kind].from_stage(stage)
    if not keys.terms:
        return base
    assert isinstance(base, FlowMatching)  # checked with the configuration
    networks = networks or {}
    return WithTerms(
        base,
        {
            name: (term.coefficient, TERMS[name](term, base, networks.get(name)))
            for name, term in keys.terms.items()
        },
    )


def term_networks(
    stage: TrainStage, folders: Mapping[str, Path], device: torch.device | str = "cpu"
) -> dict[str, nn.Module]:
    """Load the frozen networks of a ``train`` stage's terms, by term.

    ``folders`` maps names of models to their folders. Raises UserError if one is missing or was made
    with another configuration.
    """
    loaded = {}
    for name, model in stage.networks.items():
        if model.name not in folders:
            raise UserError(
                f"{stage.method} needs the network {model.name}: give --network {model.name}=DIR"
            )
        folder = folders[model.name]
        expect_model(folder, stage.expects[model.name])
        loaded[name] = LOADERS[name](folder, model).to(device)
    return loaded
