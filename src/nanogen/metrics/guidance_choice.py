"""Choose a method's best guidance scale: the one at which a small sample set has the lowest FID."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.config.score_stages import GuidanceStage
from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json, write_json

log = logging.getLogger(__name__)
CHOICE, METRIC = ("guidance", 1), ("metric", 1)


@dataclass(frozen=True)
class Choice:
    """The result of a sweep of guidance scales.

    Attributes:
        scale: the best guidance scale.
        at_edge: whether it is the largest or smallest scale tried, so that a better one may lie beyond.
        fids: FID by scale.
    """

    scale: float
    at_edge: bool
    fids: Mapping[float, float]


def best_scale(fids: Mapping[float, float]) -> float:
    """Return the scale (key) with the lowest FID; the smallest such scale if several are equal."""
    return min(fids, key=lambda scale: (fids[scale], scale))


def choose(content: Mapping[str, Any], metrics: Sequence[Path], output: Path) -> None:
    """Write the choice of a ``guidance`` stage, given its JSON and the FID files of its sample sets.

    Raises UserError if a file is missing, holds no number or was made with another configuration.
    """
    stage = GuidanceStage.from_json(content)
    by_set = dict(_fid(path, stage) for path in metrics)
    if missing := [name for name in stage.scales if name not in by_set]:
        raise UserError(f"{output}: there is no FID of {', '.join(missing)} among --metric")
    fids = {scale: by_set[name] for name, scale in stage.scales.items()}
    scale = best_scale(fids)
    at_edge = scale == max(fids) or 1 < scale == min(fids)  # 1, no guidance, is the lowest scale
    if at_edge:
        log.warning(
            "%s: the best scale, %g, is the largest or smallest tried; a better one may lie beyond",
            *(stage.method, scale),
        )
    header = label(*CHOICE, stage.hash, method=stage.method, task=stage.task)
    curve = [{"scale": tried, "fid": fid} for tried, fid in fids.items()]
    inputs = dict(stage.expects)
    write_json(output, {**header, "scale": scale, "at_edge": at_edge, "curve": curve, "inputs": inputs})
    log.info("%s: guidance scale %g, FID %.4g", output, scale, fids[scale])


def _fid(path: Path, stage: GuidanceStage) -> tuple[str, float]:
    """Return (sample set, FID) of one metric file."""
    content = read_json(path)
    name = content.get("variant")
    if name not in stage.expects or content.get("metric") != "fid":
        raise UserError(f"{path} is not an FID of the sweep of {stage.method}; give its metric files")
    check_label(content, path, *METRIC, stage.expects[name])
    fid = content["values"]["fid"]
    if not math.isfinite(fid):
        raise UserError(f"{path}: fid is {fid}; delete the file and make it again")
    return name, fid


def read_choice(path: Path | str, hash_: str) -> Choice:
    """Read what ``choose`` wrote; raises UserError if it is missing or has another configuration."""
    content = read_json(path)
    check_label(content, path, *CHOICE, hash_)
    fids = {point["scale"]: point["fid"] for point in content["curve"]}
    return Choice(content["scale"], content["at_edge"], fids)
