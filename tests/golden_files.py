"""Values made by the authors' code: where they lie, and every file of a kind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nanogen.backbones import DDT
from nanogen.interop.released import from_released

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(os.environ.get("NANOGEN_GOLDEN") or ROOT.parent / "shared" / "reference" / "golden")
ABSENT = f"{GOLDEN}, the folder of golden values, is not here; NANOGEN_GOLDEN names another"


@dataclass(frozen=True)
class Golden:
    """The arrays of one file, as tensors, and the constructor arguments that made them."""

    path: Path
    values: dict[str, torch.Tensor]
    meta: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Golden:
        data = np.load(path)
        values = {name: torch.from_numpy(data[name]) for name in data.files if name != "meta"}
        return cls(path, values, json.loads(str(data["meta"])))

    def params(self) -> dict[str, torch.Tensor]:
        """Weights, by their public names."""
        return {k.removeprefix("param/"): v for k, v in self.values.items() if k.startswith("param/")}


def every(pattern: str, having: Callable[[Path], bool] = lambda _: True) -> list[Any]:
    """The golden files of a kind, as parameters of a test; where there are none, one that is skipped."""
    found = [path for path in sorted(GOLDEN.glob(pattern)) if having(path)]
    reason = f"{GOLDEN} holds no {pattern}" if GOLDEN.is_dir() else ABSENT
    return [pytest.param(path, id=path.stem) for path in found] or [
        pytest.param(None, marks=pytest.mark.skip(reason=reason))
    ]


def ddt(meta: Mapping[str, Any], weights: Mapping[str, torch.Tensor], **options: Any) -> DDT:
    """The network that the authors' constructor arguments and weights are of."""
    encoder, decoder = zip(meta["hidden_size"], meta["depth"], meta["num_heads"], strict=True)
    model = DDT(
        patch=meta["patch_size"][0],
        encoder_width=encoder[0],
        encoder_depth=encoder[1],
        encoder_heads=encoder[2],
        decoder_width=decoder[0],
        decoder_depth=decoder[1],
        decoder_heads=decoder[2],
        time_tokens=meta["num_t_tokens"],
        latent=(meta["in_channels"], meta["input_size"], meta["input_size"]),
        **options,
    )
    model.load_state_dict(from_released(weights, encoder[1]), strict=True)
    return model.eval()
