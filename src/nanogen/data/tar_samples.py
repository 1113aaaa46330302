"""Read the samples in a tar shard.

As in WebDataset, consecutive members with the same name up to the first dot form a sample. Anything
unusual is reported: two members of the same name, members of a sample that are not consecutive, several
images in one sample, and links.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath

from nanogen.data.walk import PICTURES, is_passed_over
from nanogen.errors import UserError
from nanogen.files import damage, explained
from nanogen.text import check_storable

log = logging.getLogger(__name__)
CAPTIONS = (".json", ".txt")  # in order of preference


class UnreadableSample(ValueError):
    """Raised for a sample that cannot be read, with the reason."""


@dataclass(frozen=True)
class Sample:
    """Members that belong together.

    Attributes:
        name: its path in the shard, without suffixes.
        members: its members in order.
    """

    name: str
    members: list[tarfile.TarInfo]

    @property
    def pictures(self) -> list[tarfile.TarInfo]:
        return [member for member in self.members if _suffix(member) in PICTURES]

    def parts(self) -> tuple[tarfile.TarInfo, tarfile.TarInfo]:
        """Return the members with the image and its caption.

        Raises UnreadableSample if either is missing or ambiguous.
        """
        names = [member.name for member in self.members]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UnreadableSample(f"it contains {twice} twice; give each a name of its own")
        picture = _only([m for m in self.pictures if self._is_plain(m)] or self.pictures, "images")
        found = [m for suffix in CAPTIONS for m in self.members if _suffix(m) == suffix]
        plain = [m for m in found if self._is_plain(m)] or found
        if not plain:
            raise UnreadableSample("it has no caption (.txt or .json)")
        caption = _only([m for m in plain if _suffix(m) == _suffix(plain[0])], "captions")
        for member in (picture, caption):
            if not member.isfile():
                raise UnreadableSample(f"{member.name} is a link; pack with tar --dereference")
        return picture, caption

    def _is_plain(self, member: tarfile.TarInfo) -> bool:
        """Whether a member's name is the sample's with a single suffix: ``a.jpg``, not ``a.seg.png``."""
        return member.name.removeprefix("./") == self.name + PurePosixPath(member.name).suffix

    def divided(self) -> list[Sample]:
        """Split the sample if names of samples contain dots.

        For example, ``view.0.png`` with ``view.0.txt`` is separated from ``view.1.png``.
        """
        if len(self.pictures) < 2 or any(self._is_plain(member) for member in self.pictures):
            return [self]
        parts = groupby(self.members, lambda member: str(PurePosixPath(member.name).with_suffix("")))
        return [Sample(name, list(members)) for name, members in parts]


def _only(found: list[tarfile.TarInfo], what: str) -> tarfile.TarInfo:
    if len(found) > 1:
        names = ", ".join(member.name for member in found[:4])
        raise UnreadableSample(f"it has {len(found)} {what}: {names}; keep one")
    return found[0]


def _suffix(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).suffix.lower()


def _stem(member: tarfile.TarInfo) -> str:
    """Return a member's name up to the first dot of its last part."""
    path = PurePosixPath(member.name)
    return str(path.with_name(path.name.split(".")[0]))


def opened(shard: Path) -> tarfile.TarFile:
    """Open a tar file; raise UserError if it cannot be read."""
    try:
        return tarfile.open(shard, "r:")
    except (tarfile.TarError, OSError) as error:
        raise UserError(
            f"{shard} is not a readable tar file ({damage(error, shard)}); fetch it again"
        ) from error


def samples(tar: tarfile.TarFile, shard: Path) -> Iterator[Sample]:
    """Yield the samples with an image, in order, and log the number of those without one.

    Raises UserError if the shard is damaged, if a name points outside the archive, or if the members of
    a sample are not consecutive.
    """
    seen, without = _Seen(shard), 0
    for stem, group in groupby(_members(tar, shard), _stem):
        for sample in Sample(stem, list(group)).divided():
            seen.add(sample.name)
            if sample.pictures:
                yield sample
            else:
                without += 1
                log.debug("%s/%s has no image", shard, sample.name)
    if without:
        log.warning("%s: passed over %d samples without an image", shard, without)


@dataclass
class _Seen:
    """The names of the samples seen in a shard, which must be unique."""

    shard: Path
    names: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        if name in self.names:
            raise UserError(
                f"{self.shard}: the members of the sample {name!r} are not consecutive, or two "
                "samples have this name; pack the files in the order of their names (tar --sort=name)"
            )
        self.names.add(name)


def _members(tar: tarfile.TarFile, shard: Path) -> Iterator[tarfile.TarInfo]:
    """Yield files and links in order; raise UserError for a name outside the archive or truncation."""
    passed: list[str] = []
    try:
        with explained(shard, "read"):
            for member in tar:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise UserError(f"{shard}: refused, the member {member.name!r} points outside of it")
                if member.isdir():
                    continue
                if any(is_passed_over(part) for part in name.parts):
                    passed.append(member.name)
                    continue
                check_storable(member.name, f"{shard}: the member's name {member.name!r}")
                yield member
                # Each member is read once; keeping those of a long shard would fill the memory.
                tar.members.clear()  # type: ignore[attr-defined]
    except tarfile.TarError as error:
        raise UserError(f"{shard} is truncated or damaged ({error}); fetch it again") from error
    if passed:
        log.info("%s: passed over %d hidden members, e.g. %s", shard, len(passed), passed[0])
    # tarfile takes a truncated header for the end, so check for the empty block at the end of a tar.
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(512) != bytes(512):
        raise UserError(f"{shard} is truncated: its end is missing; fetch it again")
