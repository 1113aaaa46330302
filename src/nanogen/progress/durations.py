"""Durations of each rule's jobs in earlier runs, from which a run's progress is estimated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import read_json, write_text

FILE = Path(".snakemake/nanogen/durations.json")
FORMAT = 1
# Seconds in the default study on two CPU cores, used in the very first run.
TYPICAL: dict[str, float] = {
    "all": 0,
    "build_model": 22,
    "encode_latents": 3,
    "encode_text": 3,
    "make_data": 3,
    "measured_figure": 2,
    "published_figure": 4,
    "published_tables": 5,
    "reconstruct": 6,
    "reference": 7,
    "sample": 6,
    "score_text": 3,
    "train": 82,
    "train_tokenizer": 75,
}
UNKNOWN = 1.0  # seconds of a job whose rule is neither recorded nor listed


def read_durations(path: Path = FILE) -> dict[str, float]:
    """Return seconds by rule; durations recorded by earlier runs take precedence over typical ones.

    The file is only a hint: if it is missing, damaged or has another format, typical durations are used.
    """
    try:
        content = read_json(path)
        noted = content["seconds"] if content["format"] == FORMAT else {}
        return TYPICAL | {str(rule): float(seconds) for rule, seconds in noted.items()}
    except (OSError, UserError, KeyError, TypeError, ValueError, AttributeError):
        return dict(TYPICAL)


def write_durations(seconds: Mapping[str, float], path: Path = FILE) -> None:
    """Record the mean seconds of the rules that ran; the others keep theirs."""
    known = read_durations(path) | {rule: round(mean, 1) for rule, mean in seconds.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"format": FORMAT, "seconds": dict(sorted(known.items()))}))
