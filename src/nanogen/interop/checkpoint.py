"""The authors' checkpoint files, into a model folder of ours and back; nothing in them is executed."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from nanogen.backbones import build, load, save
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import atomic_folder, atomic_path, label, write_json
from nanogen.interop.released import load_released, to_released
from nanogen.weights import first_line, readable_weights

WRAPPERS = ("module.", "_orig_mod.")
SETS = ("ema", "model")  # the weights that a checkpoint holds: the average, and the trained ones


def read_checkpoint(path: Path, which: str) -> dict[str, Tensor]:
    """Weights of a checkpoint, mapped from the file where its format allows it.

    Args:
        path: a ``torch.save`` file with the keys ``model`` and ``ema``, or a file of one set of
            weights, also safetensors.
        which: ``ema`` or ``model``; a file of one set is taken whatever is asked.

    Raises UserError where the file is missing or damaged, holds more than tensors and plain values,
    or lacks ``which``.
    """
    content = _read(path)
    if which in content:
        content = content[which]
    elif any(name in content for name in SETS):
        raise UserError(f"{path} holds no {which!r}, only {', '.join(content)}; set --weights")
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} holds no weights by name; expected a dictionary of tensors")
    return _without_wrappers(content)


def _without_wrappers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without what DDP and `torch.compile` put before every name."""
    for prefix in WRAPPERS * 2:  # one may be in the other
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return dict(weights)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with readable_weights(path):
            if path.suffix == ".safetensors":
                return load_file(path)
            mapped = _is_zip(path)  # files of torch before 1.6 cannot be mapped
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is no checkpoint that can be read without executing code in it; save its weights "
            "alone (a dictionary of tensors) with the program that made it"
        ) from error
    except (RuntimeError, EOFError, ValueError, LookupError) as error:
        raise UserError(f"{path} is damaged or no checkpoint: {first_line(error)}") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; expected a dictionary of weights")
    return content


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        begins = file.read(2) == b"PK"
    if begins and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is truncated; fetch it again")
    return begins


def import_checkpoint(path: Path, which: str, stage: TrainStage, output: Path) -> int:
    """Write the model folder of a ``train`` stage from a checkpoint; returns the parameters' number.

    The folder is what training would have written, without the training's log; its card names the
    file. Raises UserError as `read_checkpoint` and `load_released` do.
    """
    with torch.device("meta"):
        model = build(stage)
    weights = load_released(model, read_checkpoint(path, which), str(path))
    parameters = sum(value.numel() for value in weights.values())
    with atomic_folder(output) as folder:
        save(folder, model, {name: value.float() for name, value in weights.items()})
        write_json(folder / "stage.json", stage.content)
        card = label("model", 1, stage.hash, name=stage.method, kind="backbone")
        origin = {"file": path.name, "weights": which}
        write_json(
            folder / "nanogen.json", {**card, "quality": {"parameters": parameters}, "imported": origin}
        )
    return parameters


def export_checkpoint(folder: Path, output: Path) -> None:
    """Write the model in ``folder`` as a released checkpoint, its average as both sets of weights."""
    model = load(folder)
    weights = {k: v.contiguous() for k, v in to_released(model.state_dict(), model).items()}
    with atomic_path(output) as temporary:
        torch.save({"model": weights, "ema": weights}, temporary)
