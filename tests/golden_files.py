"""Values made by the authors' code: where they lie, and every file of a kind."""

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
ABSENT = f"{GOLDEN}, the folder of golden values, is not here; NANOGEN_GOLDEN names another"

GUIDED = re.compile(r"sample_cfg([\d.]+)_t([\d.]+)_([\d.]+)")  # the scale and its interval
AVERAGE_STEPS = re.compile(r"sample_nfe(\d+)")  # MeanFlow
SAMPLE_STEPS = 6  # of the files that do not say it


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


def conditions(golden: Golden) -> tuple[Condition, Condition]:
    """What a file's samples are conditioned on, and the null condition beside it."""
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
    """Our name of what a network predicts: v, or x."""
    return "x" if str(meta["prediction"]).startswith("x") else "v"


def sampled(golden: Golden, model: InContextEncoder, name: str) -> torch.Tensor:
    """The samples of a file by their name, which says guidance and interval, or MeanFlow's steps."""
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
