"""Initial weights and optimizer moments of a training that starts from another model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from nanogen.config.train_stage import TrainStage
from nanogen.config.trained import STATE
from nanogen.errors import UserError
from nanogen.models.card import expect_model
from nanogen.training.checkpoint import under
from nanogen.weights import readable_weights


def starting_tensors(stage: TrainStage, folder: Path | None) -> dict[str, Tensor]:
    """Read the tensors for `nanogen.training.checkpoint.Learned.load` from a finished model.

    The averaged weights always start as those of the source. The result is empty for a training that
    starts from random weights.

    Args:
        stage: the training, whose ``initial`` selects what is taken.
        folder: the model to start from.

    Raises:
        UserError: the folder is missing, contains another model than the stage expects, or lacks a file.
    """
    if stage.initial is None:
        return {}
    if folder is None:
        raise UserError(f"{stage.method} on {stage.task} starts from another model: give --initial DIR")
    expect_model(folder, stage.expects["initial"])
    average = _read(folder / "model.safetensors")
    tensors = under("model", average) | under("ema", average)
    parts = {
        "model/": stage.initial.weights == "trained",
        "optimizer/": stage.initial.optimizer == "saved",
    }
    taken = tuple(part for part, is_taken in parts.items() if is_taken)
    if taken:
        state = _read(folder / STATE)
        tensors |= {name: value for name, value in state.items() if name.startswith(taken)}
    return tensors


def _read(path: Path) -> Mapping[str, Tensor]:
    with readable_weights(path):
        return load_file(path)
