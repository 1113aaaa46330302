"""Further trainings of a method with other seeds: their names and seeds.

A method's first training is the method's own run, with the study's seed. A study with ``seeds: 3``
trains ``jit`` a second and a third time as ``jit.seed2`` and ``jit.seed3``: the same configuration on
the same data, tokenizer and caches, with a seed of its own for training and sampling.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nanogen.errors import UserError
from nanogen.identity import seed_for

_FURTHER = re.compile(r"(?P<method>.+)\.seed(?P<number>[2-9]|[1-9][0-9]+)")
_ROW = re.compile(r"\.seed[0-9]+(-nfe[0-9]+)?$")


def name_of(method: str, number: int) -> str:
    """The name of a method's training ``number``, counted from 1."""
    return method if number == 1 else f"{method}.seed{number}"


def parsed(name: str) -> tuple[str, int]:
    """The method and the number of the training with this name; the inverse of `name_of`."""
    found = _FURTHER.fullmatch(name)
    return (found["method"], int(found["number"])) if found else (name, 1)


def names_of(methods: Sequence[str], seeds: int) -> list[str]:
    """The names of all trainings of a study on one task, grouped by method."""
    return [name_of(method, number) for method in methods for number in range(1, seeds + 1)]


def is_first(row: str) -> bool:
    """Whether a table's row with this method is of a first training; ``meanflow.seed2-nfe1`` is not."""
    return not _ROW.search(row)


def identity(name: str, title: str, seed: int, seeds: int) -> dict[str, str | int]:
    """The keys of a run in which a further training differs from the first.

    Args:
        title, seed: of the first.
        seeds: how many trainings of a method the study has.

    Raises UserError if it has fewer than the name requires.
    """
    method, number = parsed(name)
    if number > seeds:
        raise UserError(
            f"there is no training {name!r}: the study trains each method with {seeds} "
            f"seed{'s' if seeds > 1 else ''}, so {method} has {', '.join(names_of([method], seeds))}; "
            f"set seeds to {number} for it"
        )
    return {
        "method": name,
        "title": f"{title}, seed {number}",
        "seed": seed_for(seed, "replicate", number),
    }
