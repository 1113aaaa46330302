"""Read a training curve, ``train.jsonl``, without importing torch."""

from __future__ import annotations

import json
import math
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.text import lines_of

Line = dict[str, float]


def read_curve(path: Path) -> list[Line]:
    """Return the lines of a training curve.

    Each has ``step`` (ascending), ``seconds``, and the means of the values since the line before.
    Raises UserError if the file is not a curve or has no line.
    """
    lines: list[Line] = []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        try:
            found = {key: float(value) for key, value in json.loads(line).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"{path}, line {number} is not a line of a training curve: {error}"
            ) from error
        before = lines[-1]["step"] if lines else 0
        if not found.get("step", 0) > before or not math.isfinite(found.get("seconds", math.nan)):
            raise UserError(f"{path}, line {number}: expected a later step and its seconds")
        lines.append(found)
    if not lines:
        raise UserError(f"{path} holds no line; delete the model's folder and train again")
    return lines
