"""The rotary position tables that the authors' checkpoints contain as buffers.

They follow from the sizes of a network: cosines and sines, each (tokens, features of a head), for the
cells of the grid, with every value twice. Tokens before and after the cells have position 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.errors import UserError
from nanogen.interop.weights import size

if TYPE_CHECKING:
    from nanogen.backbones import InContextEncoder

BASE = 10000
TOLERANCE = 1e-4  # far below the difference between neighbouring cells, far above rounding
# kind -> released prefix -> whether tokens of time and condition follow those of the image
TABLES = {"ddt": {"enc_rope": True, "dec_rope": False}, "lightning": {"rope": True}}


def tables(model: InContextEncoder) -> dict[str, Tensor]:
    """Compute the tables of ``model`` by their released names, float32, on the CPU.

    They are computed in float32, as in the authors' code, and equal its buffers bit for bit on
    processors that round alike. The network's own tables (`nanogen.backbones.layers.Rotary2D`) are
    computed in float64.
    """
    keys = model.config
    times = keys["time_tokens"] * (2 if keys["absolute_time"] else 1)
    context = times + keys["conditioner"]["tokens"]
    result = {}
    for prefix, followed in TABLES[keys["kind"]].items():
        part = "decoder" if prefix == "dec_rope" else "encoder"
        width = keys[f"{part}_width"] // keys[f"{part}_heads"]
        angles = _angles(width, model.rows, model.columns)
        padding = (0, 0, model.prefix, context if followed else 0)
        result[f"{prefix}.freqs_cos"] = F.pad(angles.cos(), padding, value=1.0)
        result[f"{prefix}.freqs_sin"] = F.pad(angles.sin(), padding, value=0.0)
    return result


def _angles(width: int, rows: int, columns: int) -> Tensor:
    """Return angles (rows * columns, width): half of the features rotate by row, half by column."""
    half = width // 2
    frequencies = 1.0 / (BASE ** (torch.arange(0, half, 2)[: half // 2].float() / half))
    row, column = (
        (torch.arange(count).float()[:, None] * frequencies).repeat_interleave(2, dim=1)
        for count in (rows, columns)
    )
    cells = (row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1))
    return torch.cat(cells, dim=-1).flatten(0, 1)


def check_tables(weights: Mapping[str, Tensor], model: InContextEncoder, where: str) -> None:
    """Raise UserError if a rotary table among ``weights`` is not that of ``model``."""
    for name, table in tables(model).items():
        if name in weights and not _alike(weights[name], table):
            raise UserError(
                f"{where}: the rotary table {name} ({size(weights[name].shape)}) is not that of "
                f"{model.rows}x{model.columns} patches ({size(table.shape)}): the model was trained on "
                "another grid, or with another number of tokens; choose its own method and study"
            )


def rounded_otherwise(weights: Mapping[str, Tensor], model: InContextEncoder) -> dict[str, Tensor]:
    """Return the rotary tables among ``weights`` that differ from those of ``model`` in rounding."""
    own = tables(model)
    return {
        name: value.clone()
        for name, value in weights.items()
        if name in own and not (value.dtype == own[name].dtype and torch.equal(value, own[name]))
    }


def _alike(found: Tensor, own: Tensor) -> bool:
    if found.shape != own.shape:
        return False
    return torch.allclose(found.float(), own.to(found.dtype).float(), rtol=0, atol=TOLERANCE)
