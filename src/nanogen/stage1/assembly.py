"""Build the tokenizer and the loss of a ``model`` stage from its configuration and frozen networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from nanogen.config.model_stage import ModelStage
from nanogen.config.tokenizer_schema import Adversarial
from nanogen.errors import UserError
from nanogen.models.card import expect_model
from nanogen.models.initialisation import seeded
from nanogen.models.perceptual import load_perceptual
from nanogen.stage1.adversarial import Adversary, DecoderAdversary, VAEAdversary
from nanogen.stage1.batches import Batch
from nanogen.stage1.discriminator import load_features
from nanogen.stage1.losses import TokenizerLoss
from nanogen.stage1.phases import Phases
from nanogen.stage1.rae import DecoderTraining
from nanogen.stage1.selection import Labelled
from nanogen.stage1.terms import Perceptual, Reconstructed, Term
from nanogen.stage1.vae import VAETraining
from nanogen.tokenizers.base import Tokenizer
from nanogen.training.processes import Processes


class Trainee(Protocol):
    """A tokenizer under training; `nanogen.stage1.rae.DecoderTraining` describes the attributes."""

    last: Tensor
    noise: tuple[int, ...]
    terms: dict[str, Term]

    @property
    def learned(self) -> nn.Module: ...

    def reconstructed(self, network: nn.Module, batch: Batch) -> Reconstructed: ...

    def measure(self) -> None: ...

    def save(self, folder: Path) -> Tokenizer: ...


Make = Callable[[ModelStage, Labelled, Mapping[str, Path], Processes], Trainee]
KINDS: dict[str, Make] = {"rae": DecoderTraining, "vae": VAETraining}
ADVERSARIES: dict[str, type[Adversary]] = {"rae": DecoderAdversary, "vae": VAEAdversary}


def network_folders(stage: ModelStage, given: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of a ``model`` stage's frozen networks by role; ``given`` has them by name.

    Raises UserError if one is missing or was made by another configuration.
    """
    folders = {}
    for role, model in stage.networks.items():
        if model.name not in given:
            raise UserError(
                f"{stage.model.name} needs {model.name} as its {role}: give --network {model.name}=DIR"
            )
        folders[role] = given[model.name]
        expect_model(folders[role], stage.expects[role])
    return folders


def trainee_of(
    stage: ModelStage, train: Labelled, folders: Mapping[str, Path], group: Processes
) -> Trainee:
    """Return the untrained tokenizer of a ``model`` stage on the group's device."""
    trainee: Trainee = KINDS[stage.model.kind](stage, train, folders, group)
    trainee.learned.to(group.device).train()
    return trainee


def loss_of(
    stage: ModelStage,
    phases: Phases,
    folders: Mapping[str, Path],
    own: Mapping[str, Term],
    group: Processes,
) -> TokenizerLoss:
    """Return the loss of a ``model`` stage; ``own`` are additional terms of its kind of tokenizer."""
    keys, frozen = stage.tokenizer_training, dict(own)
    if "perceptual" in folders:
        network = load_perceptual(folders["perceptual"], stage.networks["perceptual"])
        frozen["perceptual"] = Perceptual(network.to(group.device))
    adversary = None
    if keys.adversarial:
        adversary = _adversary(stage, keys.adversarial, phases, folders["discriminator"], group)
    starts = {"perceptual": phases.perceptual_from}
    return TokenizerLoss(dict(keys.terms), frozen, adversary, group, starts)


def _adversary(
    stage: ModelStage, keys: Adversarial, phases: Phases, folder: Path, group: Processes
) -> Adversary:
    of_kind = ADVERSARIES[stage.model.kind]
    features = load_features(folder, stage.networks["discriminator"], keys.layers)
    with seeded(stage.seed, "build", stage.model.name, "discriminator"):
        heads = of_kind.heads_class(features.encoder.width, len(keys.layers), keys.kernel, keys.norm_eps)
    return of_kind(keys, phases, features.to(group.device), heads, group)
