"""English names of classes whose folders have WordNet numbers as names, like ImageNet's (n01440764)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

NUMBER = re.compile(r"n\d{8}")
IMAGENET = 1000  # number of classes in ImageNet-1k


def _table(name: str) -> list[str]:
    """Return the lines of one of timm's lists without importing timm, which would import torch."""
    found = find_spec("timm")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0], "data/_info", name)
    return path.read_text(encoding="utf-8").splitlines()


@lru_cache(1)
def _words() -> Mapping[str, str]:
    return dict(line.split("\t", 1) for line in _table("imagenet_synset_to_lemma.txt"))


def words(name: str) -> str | None:
    """Return the words of a class, ``tench, Tinca tinca``; None if its name is not such a number."""
    return _words().get(name) if NUMBER.fullmatch(name) else None


def spoken(name: str) -> str:
    """Return a class's name as used in a sentence.

    It is the first of ImageNet's words; in other names underscores become spaces.
    """
    said = words(name)
    return said.split(", ")[0] if said else name.replace("_", " ")


def with_words(names: Sequence[str]) -> list[str]:
    """Return the names to look up classes by: ``tench, Tinca tinca, n01440764`` for a number.

    Other names are unchanged.
    """
    return [f"{said}, {name}" if (said := words(name)) else name for name in names]


def imagenet_numbers() -> list[str]:
    """Return the WordNet numbers of ImageNet-1k's classes by label."""
    return _table("imagenet_synsets.txt")
