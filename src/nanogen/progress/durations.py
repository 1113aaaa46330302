"""How long a job of each rule takes, from earlier runs: what the share of work that is done rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import read_json, write_text

FILE = Path(".snakemake/nanogen/durations.json")
FORMAT = 1
UNKNOWN = 5.0  # seconds, of a rule that never ran
# Seconds in the default study on two CPU cores, for the first run of all.
TYPICAL: dict[str, float] = {"train": 90.0, "train_tokenizer": 40.0, "sample": 15.0}


def read_durations(path: Path = FILE) -> dict[str, float]:
    """Seconds by rule; what earlier runs noted goes before what is typical.

    The file is only a hint: where it is missing, damaged or of another format, nothing is known.
    """
    try:
        content = read_json(path)
        noted = content["seconds"] if content["format"] == FORMAT else {}
        return TYPICAL | {str(rule): float(seconds) for rule, seconds in noted.items()}
    except (OSError, UserError, KeyError, TypeError, ValueError, AttributeError):
        return dict(TYPICAL)


def write_durations(seconds: Mapping[str, float], path: Path = FILE) -> None:
    """Note the mean seconds of the rules that ran; the others keep theirs."""
    known = read_durations(path) | {rule: round(mean, 1) for rule, mean in seconds.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"format": FORMAT, "seconds": dict(sorted(known.items()))}))
