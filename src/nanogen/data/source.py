"""Interfaces of image sources, and functions that they share.

Drawn images are a stream of a known number of examples. Imported images come in *parts*, each of which
is a tar shard or a run of files: `nanogen.data.parts` imports these in as many processes as there are
cores, and `nanogen.data.image_import` joins them into one image file.
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
    """One example: image uint8 (H, W, 3), label and captions; for scenes also masks (4, H, W), objects.

    For an image that stays in its shard, ``image`` is None and ``place`` its offset and size there.
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
    """An image that cannot be read: its name, in its shard or below the root, and the reason."""

    name: str
    reason: str


class Drawn(Protocol):
    """A source of drawn images, which have no files, so that none can be unreadable."""

    classes: list[str]

    def __len__(self) -> int: ...

    def examples(self) -> Iterator[Example]:
        """Yield all examples in order."""
        ...


class Part(Protocol):
    """The part of a source that one process imports at a time, which is small and can be pickled.

    Attributes:
        name: the name of the part, below the root.
        files: the files it reads; it is imported again when their sizes or times change.
        chosen: everything else that determines its examples, as JSON.
    """

    @property
    def name(self) -> str: ...
    @property
    def files(self) -> Sequence[Path]: ...
    @property
    def chosen(self) -> Any: ...

    def examples(self) -> Iterator[Example | Unreadable]:
        """Yield its examples in order; raise UserError if a file cannot be read at all."""
        ...


class Imported(Protocol):
    """A source of a user's images.

    Attributes:
        classes: the names of the classes.
        side: side of the square images to store, in pixels; None if images stay where they are and only
            their locations are stored.
        count: number of images if all can be read; None if it is only known after reading them.
    """

    classes: list[str]

    @property
    def side(self) -> int | None: ...
    @property
    def count(self) -> int | None: ...

    def parts(self) -> Sequence[Part]:
        """Return all parts in order; examples beyond the number that the stage requests are dropped."""
        ...

    def filled(self, unreadable: set[str]) -> Imported:
        """Return the source with other images instead of the unreadable ones, if there are any.

        Otherwise return the source itself. Raises UserError if too few are left.
        """
        ...


def caption(name: str, template: str) -> str:
    """Return the caption of a class named by its folder, with WordNet numbers replaced by words.

    Underscores become spaces. Raises UserError if the template is not valid.
    """
    try:
        return template.format(name=spoken(name))
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"data.caption_template {template!r} cannot be filled in: it may contain {{name}}, "
            "the class, and no other braces"
        ) from error


def evenly(groups: list[list[Item]], most: int) -> list[list[Item]]:
    """Return the first items of each group, ``most`` in total, as evenly as possible."""
    turns = sorted((turn, g) for g, group in enumerate(groups) for turn in range(len(group)))
    taken = [0] * len(groups)
    for _, g in turns[:most]:
        taken[g] += 1
    return [group[:count] for group, count in zip(groups, taken, strict=True)]


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map in a few threads; results are in order, and only a few of them are in memory."""
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
