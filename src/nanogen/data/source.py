"""Sources of images, and the functions that they share.

A *source* has classes and a number of examples, which it yields in a fixed order; the writer
(`nanogen.data.image_import`) streams them into an image file.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from nanogen.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Example:
    """One picture: image uint8 (H, W, 3), label, captions. Scenes also have masks (4, H, W) and objects,
    pictures in a tar shard their place."""

    image: np.ndarray
    label: int
    short: str
    dense: str
    masks: np.ndarray | None = None
    objects: list[dict[str, Any]] | None = None
    place: tuple[int, int, int] | None = None  # number of the shard, offset and size


class UnreadableFiles(Exception):
    """Raised by a source after its last example if files could not be read: name -> reason."""

    def __init__(self, files: Mapping[str, str]):
        super().__init__(f"{len(files)} unreadable files")
        self.files = dict(files)


class ImageSource(Protocol):
    """A source of examples."""

    classes: list[str]

    def __len__(self) -> int: ...

    def examples(self) -> Iterator[Example]:
        """All examples in order; raises UnreadableFiles at the end if any were left out."""
        ...

    def without(self, names: set[str]) -> ImageSource:
        """The same source without these files."""
        ...


def caption(name: str, template: str) -> str:
    """The caption of a class, from its folder's name: underscores are spaces."""
    try:
        return template.format(name=name.replace("_", " "))
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


def readable(results: Iterable[tuple[str, Example | str]]) -> Iterator[Example]:
    """The examples among ``results``, pairs of a file's name and its example, or why it cannot be read.

    Raises UnreadableFiles after the last one where any could not.
    """
    unreadable = {}
    for name, result in results:
        if isinstance(result, Example):
            yield result
        else:
            unreadable[name] = result
    if unreadable:
        raise UnreadableFiles(unreadable)
