"""Convert the authors' checkpoints to model folders and back, without executing anything in them."""

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

# Rotary tables of an imported model that differ from ours in rounding; for `export_checkpoint` only.
TABLES = "rotary.safetensors"


def import_checkpoint(path: Path, which: str, stage: TrainStage, output: Path) -> int:
    """Write the model folder of a ``train`` stage from a checkpoint.

    The folder has what training would have written, except for the training log; its card names the
    file.

    Args:
        path: a file as `read_weights` accepts it.
        which: the set of weights to take, ``ema`` or ``model``.
        stage: the training that the checkpoint is a result of.
        output: the folder to write.

    Returns:
        The number of parameters.

    Raises:
        UserError: the file cannot be read, or its weights are not those of the stage's model.
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
    """Write the model in ``folder`` as a checkpoint of the authors' code.

    Both sets of weights, ``ema`` and ``model``, are the average. The rotary tables are included, so the
    authors' class loads either set strictly. Weights of an imported model keep the data types of its
    file.
    """
    weights = {k: v.contiguous() for k, v in state_to_release(load(folder)).items()}
    weights = as_imported(weights, read_card(folder) or {})
    if (folder / TABLES).exists():
        weights |= load_file(folder / TABLES)
    with atomic_path(output) as temporary:
        torch.save({"model": weights, "ema": weights}, temporary)
