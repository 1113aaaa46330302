"""WebDataset shards: tar files in which an image and its caption share a stem and stand together.

Shards lie in ROOT/{train,val}/*.tar; where there are no such folders, the last of ROOT/*.tar by
name is the validation split. Members are read in memory and never written to disk.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from nanogen.data.crop import load
from nanogen.data.source import Example, UnreadableFiles
from nanogen.data.stage import DataStage
from nanogen.errors import UserError

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"})
SHORT_KEYS = ("short", "caption", "text")
DENSE_KEYS = ("dense", "long", "caption", "text")
MOST_BYTES = 256 << 20  # of one member: what a picture or a caption never has


def shards(root: Path, split: str) -> list[Path]:
    """The tar files of a split in the order of their names."""
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}; expected tar shards there")
    if (root / split).is_dir():
        found = sorted((root / split).glob("*.tar"))
    else:
        every = sorted(root.rglob("*.tar"))
        if len(every) == 1:
            raise UserError(
                f"data.root: {root} holds a single shard; put the splits into {root}/train and "
                f"{root}/val, or make several shards (the last is then for validation)"
            )
        found = every[-1:] if split == "val" else every[:-1]
    if not found:
        raise UserError(f"data.root: no *.tar in {root} for the split {split}")
    return found


def _members(tar: tarfile.TarFile, shard: Path) -> Iterator[tarfile.TarInfo]:
    """Regular files in order; raises UserError at a name that leaves the archive or a broken end."""
    try:
        for member in tar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise UserError(f"{shard}: refused, the member {member.name!r} points outside of it")
            if member.isfile() and not name.name.startswith("."):
                yield member
    except tarfile.TarError as error:
        raise UserError(f"{shard} is truncated or damaged ({error}); fetch it again") from error
    # tarfile takes a header cut short for the end, so look for the empty block that ends a tar.
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(512) != bytes(512):
        raise UserError(f"{shard} is truncated: its end is missing; fetch it again")


def _stem(member: tarfile.TarInfo) -> str:
    """The member's name up to the first dot of its last part."""
    path = PurePosixPath(member.name)
    return str(path.with_name(path.name.split(".")[0]))


def _suffix(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).suffix[1:].lower()


def captions(text: bytes, suffix: str) -> tuple[str, str]:
    """Short and dense caption from a .txt (both the same) or a .json member; ValueError if none."""
    content: Any = text.decode("utf-8").strip()
    if suffix == "json":
        content = json.loads(content)
        if not isinstance(content, Mapping):
            raise ValueError("its JSON is not an object")
        short, dense = (
            next((content[key] for key in keys if content.get(key)), None)
            for keys in (SHORT_KEYS, DENSE_KEYS)
        )
        short, dense = short or dense, dense or short
    else:
        short = dense = content
    if not isinstance(short, str) or not isinstance(dense, str) or not short:
        raise ValueError("its caption is empty")
    return short, dense


class Shards:
    """One split of a WebDataset as a source: captioned images without classes (label 0)."""

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        if not stage.root:
            raise UserError("data.root is missing: say in which folder the tar shards lie")
        self.stage, self.left_out = stage, left_out
        self.classes = ["image"]
        self.shards = shards(Path(stage.root), stage.split)
        self.resolution = stage.resolution
        self.count = sum(1 for _ in self._pairs())
        if not self.count:
            raise UserError(f"data.root: {stage.root} holds no readable images with captions")

    def _pairs(self) -> Iterator[tuple[str, int, tarfile.TarFile, list[tarfile.TarInfo]]]:
        """Name, number of the shard, open shard and members of every sample that has an image."""
        taken = 0
        for number, shard in enumerate(self.shards):
            try:
                tar = tarfile.open(shard, "r:")  # noqa: SIM115
            except (tarfile.TarError, OSError) as error:
                raise UserError(f"{shard} is not a readable tar file ({error})") from error
            with tar:
                for stem, group in groupby(_members(tar, shard), _stem):
                    members = list(group)
                    name = f"{shard.name}/{stem}"
                    if name in self.left_out or not any(_suffix(m) in IMAGES for m in members):
                        continue
                    if taken == self.stage.images:
                        return
                    taken += 1
                    yield name, number, tar, members

    def __len__(self) -> int:
        return self.count

    def _example(self, shard: int, tar: tarfile.TarFile, members: list[tarfile.TarInfo]) -> Example:
        by_suffix = {_suffix(member): member for member in members}
        picture = next(by_suffix[suffix] for suffix in by_suffix if suffix in IMAGES)
        kind = next((suffix for suffix in ("json", "txt") if suffix in by_suffix), None)
        if kind is None:
            raise ValueError("it has no caption (.txt or .json)")
        content = {}
        for member in (picture, by_suffix[kind]):
            if member.size > MOST_BYTES:
                raise ValueError(f"{member.name} has {member.size} bytes")
            file = tar.extractfile(member)
            assert file is not None
            content[member.name] = file.read()
        short, dense = captions(content[by_suffix[kind].name], kind)
        image = load(io.BytesIO(content[picture.name]), self.resolution)
        place = (shard, picture.offset_data, picture.size)
        return Example(image, 0, short, dense, place=place)

    def examples(self) -> Iterator[Example]:
        unreadable = {}
        for name, number, tar, members in self._pairs():
            try:
                example = self._example(number, tar, members)
            except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
                unreadable[name] = str(error) or type(error).__name__
            else:
                yield example
        if unreadable:
            raise UnreadableFiles(unreadable)

    def without(self, names: set[str]) -> Shards:
        return Shards(self.stage, self.left_out | names)
