"""English names of classes whose folders are named by WordNet numbers, as ImageNet's are (n01440764)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

NUMBER = re.compile(r"n\d{8}")
IMAGENET = 1000  # classes of ImageNet-1k


def _table(name: str) -> list[str]:
    """Lines of one of timm's lists; its package, which would import torch, is not imported."""
    found = find_spec("timm")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0], "data/_info", name)
    return path.read_text(encoding="utf-8").splitlines()


@lru_cache(1)
def _words() -> Mapping[str, str]:
    return dict(line.split("\t", 1) for line in _table("imagenet_synset_to_lemma.txt"))


def words(name: str) -> str | None:
    """The words of a class, ``tench, Tinca tinca``; None unless its name is a number of ImageNet's."""
    return _words().get(name) if NUMBER.fullmatch(name) else None


def spoken(name: str) -> str:
    """A class's name as it stands in a sentence: of ImageNet's words the first, else underscores are
    spaces."""
    said = words(name)
    return said.split(", ")[0] if said else name.replace("_", " ")


def with_words(names: Sequence[str]) -> list[str]:
    """Names by which classes are found: ``tench, Tinca tinca, n01440764`` of a number, others as they
    are."""
    return [f"{said}, {name}" if (said := words(name)) else name for name in names]


def imagenet_numbers() -> list[str]:
    """The numbers of ImageNet-1k's classes by label."""
    return _table("imagenet_synsets.txt")
