"""The first weights of a training that starts from another's, and its optimizer's moments."""

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
    """What `nanogen.training.checkpoint.Learned.load` takes, of the finished model in ``folder``.

    Nothing for a training that starts from drawn weights. The average begins as the source's in any
    case. Raises UserError where the folder is missing, holds another model than the stage expects, or
    lacks a file.
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
