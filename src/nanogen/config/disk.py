"""Disk usage of a study, and what to know about it before the study starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanogen.config import cache_choice, plan
from nanogen.config.cache_choice import Choice
from nanogen.config.cache_sizes import Cache, necessary
from nanogen.config.study_schema import Study
from nanogen.text import human

WORTH_TELLING = 10**9  # bytes


@dataclass(frozen=True)
class Disk:
    """Bytes of what a study needs before its trainings.

    Attributes:
        fetched: bytes of networks, statistics and data sets to download, where their sizes are known.
        unknown: number of downloads whose sizes are not known.
        stored: bytes, by name, of data, features and the caches that are written.
    """

    fetched: float
    unknown: int
    stored: dict[str, int]

    @property
    def total(self) -> float:
        return self.fetched + sum(self.stored.values())

    @property
    def download(self) -> str:
        more = f" and {self.unknown} of unknown size" if self.unknown else ""
        return human(self.fetched) + more


def disk_of(study: Study, choice: Choice | None = None) -> Disk:
    """Return the sizes of downloads, data and caches, for the study's choice of caches or ``choice``."""
    choice = choice or cache_choice.choice(study)
    fetched = plan.downloads(study)
    written = {cache.name: cache.size for cache in choice.written()}
    return Disk(
        sum(item.megabytes for item in fetched) * 1e6,
        sum(not item.megabytes for item in fetched),
        {**necessary(study), **written},
    )


def notice(study: Study, choice: Choice | None = None) -> list[str]:
    """Return lines to show before a study starts: terms to accept, and large downloads and caches."""
    choice = choice or cache_choice.choice(study)
    lines, fetched, disk = [], plan.downloads(study), disk_of(study, choice)
    gated = list(dict.fromkeys(item.repository for item in fetched if item.gated))
    if gated:
        lines.append("Gated: accept the terms on the page of each and set HF_TOKEN before starting:")
        lines += [f"  {repository}" for repository in gated]
    if fetched:
        lines.append(f"To fetch ({disk.download}):")
        lines += [f"  {item}" for item in fetched]
    if sum(disk.stored.values()) > WORTH_TELLING:
        lines.append("Data and caches on disk:")
        lines += [f"  {name}: {human(size)}" for name, size in sorted(disk.stored.items())]
        lines.append(f"  in all, downloads included: {human(disk.total)}")
    return lines + _encoded(choice)


def _encoded(choice: Choice) -> list[str]:
    """Lines on what is not cached, and the space that caching it would take."""
    left = choice.encoded()
    if not left:
        return []
    why = choice.why
    if choice.budget is not None:
        why = f"budget {human(choice.budget)}, {why}"
    head = f"Encoded in every training step instead of cached ({why}):"
    return [head, *map(_line, _sorted(left))]


def _line(cache: Cache) -> str:
    return (
        f"  {cache.name}: {human(cache.size)} saved, encoded by {cache.trainings} "
        f"training{'s' if cache.trainings > 1 else ''}"
    )


def _sorted(caches: Sequence[Cache]) -> list[Cache]:
    return sorted(caches, key=lambda cache: cache.name)
