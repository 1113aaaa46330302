"""Golden files, values computed by the authors' code: where they are and how to read them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nanogen.backbones import InContextEncoder
from nanogen.backbones.embeddings import Condition
from nanogen.objectives import PREDICTIONS
from nanogen.sampling.solvers import Guidance, average_steps, integrate, time_grid

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(os.environ.get("NANOGEN_GOLDEN") or ROOT.parent / "shared" / "reference" / "golden")
ABSENT = f"the folder of golden values, {GOLDEN}, does not exist; NANOGEN_GOLDEN names another"

GUIDED = re.compile(r"sample_cfg([\d.]+)_t([\d.]+)_([\d.]+)")  # guidance scale and interval
AVERAGE_STEPS = re.compile(r"sample_nfe(\d+)")  # MeanFlow
SAMPLE_STEPS = 6  # default for files that do not state it


@dataclass(frozen=True)
class Golden:
    """The arrays of one file, as tensors, and the constructor arguments of its network."""

    path: Path
    values: dict[str, torch.Tensor]
    meta: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Golden:
        data = np.load(path)
        values = {name: torch.from_numpy(data[name]) for name in data.files if name != "meta"}
        return cls(path, values, json.loads(str(data["meta"])))

    def params(self) -> dict[str, torch.Tensor]:
        """Weights by public name."""
        return {k.removeprefix("param/"): v for k, v in self.values.items() if k.startswith("param/")}


def every(pattern: str, having: Callable[[Path], bool] = lambda _: True) -> list[Any]:
    """The golden files that match ``pattern``, as test parameters; without any, one that is skipped."""
    found = [path for path in sorted(GOLDEN.glob(pattern)) if having(path)]
    reason = f"{GOLDEN} holds no {pattern}" if GOLDEN.is_dir() else ABSENT
    return [pytest.param(path, id=path.stem) for path in found] or [
        pytest.param(None, marks=pytest.mark.skip(reason=reason))
    ]


def conditions(golden: Golden) -> tuple[Condition, Condition]:
    """The condition of a file's samples, and the null condition."""
    values = golden.values
    if golden.meta["condition_type"] == "label":
        labels = values["label"]
        return Condition(labels), Condition(torch.full_like(labels, golden.meta["num_classes"]))
    given = Condition(tokens=values["context"], mask=values["attn_mask"].bool())
    if "null_context" not in values:
        nothing = torch.zeros_like(given.mask)
        return given, Condition(tokens=given.tokens, mask=nothing)
    tokens, mask = values["null_context"], values["null_attn_mask"].bool()
    return given, Condition(tokens=tokens.expand_as(given.tokens), mask=mask.expand_as(given.mask))


def prediction(meta: Mapping[str, Any]) -> str:
    """Our name for the prediction of a network: v or x."""
    return "x" if str(meta["prediction"]).startswith("x") else "v"


def sampled(golden: Golden, model: InContextEncoder, name: str) -> torch.Tensor:
    """Draw the samples ``name``, which states guidance scale and interval, or MeanFlow's steps."""
    values, meta = golden.values, golden.meta
    condition, null = conditions(golden)
    if averaged := AVERAGE_STEPS.fullmatch(name):
        grid = time_grid(int(averaged[1]), meta["time_dist_shift"])
        return average_steps(model, values["noise"], condition, grid)
    guided = GUIDED.fullmatch(name)
    scale, start, stop = map(float, guided.groups()) if guided else (1.0, 0.0, 1.0)
    return integrate(
        model,
        PREDICTIONS[prediction(meta)],
        values["noise"],
        condition,
        time_grid(meta.get("sample_steps", SAMPLE_STEPS), meta["time_dist_shift"]),
        Guidance(scale, (start, stop)),
        cls_noise=values.get("cls_noise"),
        null=null,
    )
