"""Sources of images, and the functions that they share.

What is drawn is one stream of examples of a known number. What is imported comes in *parts*, a tar shard
or a run of files each: `nanogen.data.parts` finishes them one by one, in as many processes as there are
cores, and `nanogen.data.image_import` joins them to one image file.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from nanogen.data.wordnet import spoken
from nanogen.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Example:
    """One picture: image uint8 (H, W, 3), label, captions; scenes also masks (4, H, W), objects.

    Of a picture that stays in its shard, ``place`` is its offset and size there, and ``image`` None.
    """

    image: np.ndarray | None
    label: int
    short: str
    dense: str
    masks: np.ndarray | None = None
    objects: list[dict[str, Any]] | None = None
    place: tuple[int, int] | None = None


@dataclass(frozen=True)
class Unreadable:
    """A picture that cannot be read: what it is called, with its shard or below the root, and why."""

    name: str
    reason: str


class Drawn(Protocol):
    """Examples that have no files, so none can be unreadable."""

    classes: list[str]

    def __len__(self) -> int: ...

    def examples(self) -> Iterator[Example]:
        """All examples in order."""
        ...


class Part(Protocol):
    """What one process imports at a time; it is sent there, so it is small and can be pickled.

    Attributes:
        name: of the part, below the root.
        files: what it reads; it is imported anew when their sizes or times change.
        chosen: what else its examples follow from, as JSON.
    """

    @property
    def name(self) -> str: ...
    @property
    def files(self) -> Sequence[Path]: ...
    @property
    def chosen(self) -> Any: ...

    def examples(self) -> Iterator[Example | Unreadable]:
        """What it holds, in order; raises UserError where a file cannot be read at all."""
        ...


class Imported(Protocol):
    """A user's pictures.

    Attributes:
        count: how many there are if all can be read; None where only reading tells.
    """

    classes: list[str]

    @property
    def count(self) -> int | None: ...

    def parts(self) -> Sequence[Part]:
        """All parts in order; more examples than the stage asks for are left out at the end."""
        ...

    def filled(self, unreadable: set[str]) -> Imported:
        """The source with others in place of these, as far as there are any; without, it is itself.

        Raises UserError where too few are left.
        """
        ...


def caption(name: str, template: str) -> str:
    """The caption of a class, from its folder's name: underscores are spaces, WordNet numbers words."""
    try:
        return template.format(name=spoken(name))
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"data.caption_template {template!r} cannot be filled in: it may contain {{name}}, "
            "the class, and no other braces"
        ) from error


def evenly(groups: list[list[Item]], most: int) -> list[list[Item]]:
    """The first items of each group, ``most`` in total, in parts that are as equal as possible."""
    turns = sorted((turn, g) for g, group in enumerate(groups) for turn in range(len(group)))
    taken = [0] * len(groups)
    for _, g in turns[:most]:
        taken[g] += 1
    return [group[:count] for group, count in zip(groups, taken, strict=True)]


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map`` in a few threads, with results in order and only a few of them in memory."""
    workers = min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    remaining = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        pending = deque(pool.submit(function, item) for item in islice(remaining, 8 * workers))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
        finally:
            for future in pending:
                future.cancel()
