"""The authors' checkpoint files, into a model folder of ours and back; nothing in them is executed."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from nanogen.backbones import build, load, save
from nanogen.config.train_stage import TrainStage
from nanogen.files import atomic_folder, atomic_path, label, write_json
from nanogen.interop.precision import KEY, as_imported, other_dtypes
from nanogen.interop.released import load_released, state_to_release
from nanogen.interop.rotary import rounded_otherwise
from nanogen.interop.weights import read_weights
from nanogen.models.card import CARD, read_card

# Rotary tables of an imported model that its machine rounded otherwise, for `export_checkpoint` only.
TABLES = "rotary.safetensors"


def import_checkpoint(path: Path, which: str, stage: TrainStage, output: Path) -> int:
    """Write the model folder of a ``train`` stage from a checkpoint; returns the parameters' number.

    The folder is what training would have written, without the training's log; its card names the
    file. Raises UserError as `read_weights` and `load_released` do.
    """
    with torch.device("meta"):
        model = build(stage)
    released = read_weights(path, which)
    weights = load_released(model, released, str(path))
    parameters = sum(value.numel() for value in weights.values())
    with atomic_folder(output) as folder:
        save(folder, model, {name: value.float() for name, value in weights.items()})
        write_json(folder / "stage.json", stage.content)
        if tables := rounded_otherwise(released, model):
            save_file(tables, folder / TABLES)
        card = label("model", 1, stage.hash, name=stage.method, kind="backbone")
        origin = {"file": path.name, "weights": which}
        about = {"quality": {"parameters": parameters}, "imported": origin}
        noted = {KEY: dtypes} if (dtypes := other_dtypes(released)) else {}
        write_json(folder / CARD, {**card, **about, **noted})
    return parameters


def export_checkpoint(folder: Path, output: Path) -> None:
    """Write the model in ``folder`` as a released checkpoint, its average as both sets of weights.

    The authors' class loads either set strictly: the rotary tables are there too. The weights of an
    imported model have the types of its file.
    """
    weights = {k: v.contiguous() for k, v in state_to_release(load(folder)).items()}
    weights = as_imported(weights, read_card(folder) or {})
    if (folder / TABLES).exists():
        weights |= load_file(folder / TABLES)
    with atomic_path(output) as temporary:
        torch.save({"model": weights, "ema": weights}, temporary)
