"""Trained models that a study or a user gives as a folder, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nanogen.config.stages.base import Stage, completed_stage
from nanogen.config.training_schema import InitialiseFrom
from nanogen.errors import UserError
from nanogen.files import read_json

STATE = "state.safetensors"  # trained weights and the optimizer's moments, if the training kept them

# keys that a model must share with the run that samples from it, by their paths in the ``train`` stage
_SHARED = (
    ("latent",),
    ("text_width",),
    ("conditioner",),
    ("backbone",),
    ("objective", "kind"),
    ("objective", "prediction"),
    ("objective", "t_eps"),
    ("use", "tokenizer", "model", "name"),
    *(("use", "tokenizer", "model", key) for key in ("scaling", "batch_norm_eps")),
)
# keys that a training must share with the model whose weights it starts from
_SAME_NETWORK = (
    ("latent",),
    ("text_width",),
    *(("conditioner", key) for key in ("kind", "classes", "tokens", "model")),
    ("backbone",),
    ("objective", "kind"),
    ("objective", "prediction"),
    ("use", "tokenizer", "model", "name"),
)


def read(folder: Path) -> Stage:
    """The ``train`` stage in a trained model's folder; raises UserError if there is none."""
    if not (folder / "stage.json").is_file():
        raise UserError(f"{folder} is not the folder of a trained model: it has no stage.json")
    stage = read_json(folder / "stage.json")
    if stage.get("stage") != "train" or "use" not in stage:
        raise UserError(f"{folder}/stage.json is not that of a trained model; train or import it again")
    return completed_stage(stage)


def fitting(folder: Path, expected: Stage) -> Stage:
    """The stage of the model in ``folder``; raises UserError unless it can be used as ``expected``.

    It must have the same network, the same meaning of its output, and the same tokenizer.
    """
    found = read(folder)
    _check("trained", folder, found, expected, _SHARED)
    return found


def start(keys: InitialiseFrom, expected: Stage) -> tuple[str, Stage]:
    """The hash of the model that the training ``expected`` starts from, and what is taken from it.

    Raises UserError if there is no such model, it is a different network, or it lacks what is to be
    taken.
    """
    folder, key = Path(keys.model), "training.initialise_from"
    found = read(folder)
    _check(key, folder, found, expected, _SAME_NETWORK)
    if keys.optimizer == "saved":
        alike = (("training", "optimizer", "kind"), ("training", "frequencies"))
        _check(key, folder, found, expected, alike)
    taken = keys.model_dump(mode="json", exclude={"model"})
    if taken != {"weights": "average", "optimizer": "fresh"} and not (folder / STATE).is_file():
        raise UserError(
            f"{key}: {folder} contains only its average, not {STATE}; start from weights: average with "
            f"optimizer: fresh, or set training.keep_state: true in its study, delete "
            f"{folder / 'nanogen.json'} and train it again"
        )
    card = read_json(folder / "nanogen.json")
    origin = {"imported": card["imported"]} if "imported" in card else {}
    return card["hash"], {**taken, **origin}


def _check(
    key: str,
    folder: Path,
    found: Stage,
    expected: Stage,
    shared: Iterable[tuple[str, ...]],
) -> None:
    """Raise UserError if two ``train`` stages differ in a key that they must share."""
    for path in shared:
        own, asked = _at(found, path), _at(expected, path)
        if own != asked:
            raise UserError(
                f"{key}: the model in {folder} has {'.'.join(path)} {own!r}, but "
                f"{expected['method']} on {expected['task']} asks for {asked!r}; give the model that "
                "belongs to the method, or correct the configuration"
            )


def _at(stage: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        stage = None if stage is None else stage.get(key)
    return stage
