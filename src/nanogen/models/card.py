"""The card of a model folder, `nanogen.json`: how the network was made, and its quality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json, write_json

CARD = "nanogen.json"
FORMAT = ("model", 1)


def write_card(folder: Path, stage: ModelStage, quality: Mapping[str, float], seconds: float) -> None:
    """Write the card of a network into its folder.

    Args:
        folder: the model folder.
        stage: the ``model`` stage that made the network.
        quality: measurements on held-out data, e.g. ``{"psnr": 27.1}`` (dB).
        seconds: how long the stage took.
    """
    model = stage.model
    card = {
        **label(*FORMAT, stage.hash),
        "name": model.name,
        "kind": model.kind,
        "quality": {name: round(float(value), 6) for name, value in quality.items()},
        "seconds": round(seconds, 1),
        "model": dict(stage.content["model"]),
    }
    write_json(folder / CARD, card)


def read_card(folder: Path | str) -> dict[str, Any] | None:
    """Read the card; None for a folder without one, which another program wrote.

    Raises UserError if the file is not a card.
    """
    path = Path(folder) / CARD
    if not path.exists():
        return None
    card = read_json(path)
    check_label(card, path, *FORMAT, None)
    return card


def expect_model(folder: Path | str, hash: str) -> None:
    """Raise UserError unless ``folder`` contains the model with this hash.

    A folder without a card belongs to the user and is accepted as it is.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no model folder {folder}; make it with `snakemake {folder}/{CARD}`")
    card = read_card(folder)
    if card is not None:
        check_label(card, folder / CARD, *FORMAT, hash)
