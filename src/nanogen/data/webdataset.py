"""WebDataset shards: tar files in which an image and its caption are adjacent and have the same name.

Members are read in memory and never written to disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nanogen.data.crop import load_or_check
from nanogen.data.in_place import in_place
from nanogen.data.source import Example, Unreadable
from nanogen.data.stage import DataStage
from nanogen.data.tar_samples import Sample, UnreadableSample, opened, samples
from nanogen.data.tar_shards import shards
from nanogen.data.walk import below
from nanogen.errors import UserError
from nanogen.files import damage_inside, explained
from nanogen.text import decoded, parsed, unstorable

SHORT_KEYS = ("short", "caption", "text")
DENSE_KEYS = ("dense", "long", "caption", "text")
MOST_BYTES = 256 << 20  # limit for a member; images and captions are never that large


def captions(content: bytes, suffix: str) -> tuple[str, str]:
    """Return the short and the dense caption in a .txt (both the same) or .json member.

    Raises UnreadableSample if there is none.
    """
    try:
        text = decoded(content, "its caption").strip()
        found = parsed(text, "its caption") if suffix == ".json" else text
    except UserError as error:
        raise UnreadableSample(str(error)) from error
    if isinstance(found, Mapping):
        short, dense = (
            next((found[key] for key in keys if str(found.get(key) or "").strip()), None)
            for keys in (SHORT_KEYS, DENSE_KEYS)
        )
        short, dense = short or dense, dense or short
    elif suffix == ".json":
        raise UnreadableSample("its JSON is not an object")
    else:
        short = dense = found
    if not isinstance(short, str) or not isinstance(dense, str) or not short:
        raise UnreadableSample("its caption is empty")
    for caption in (short, dense):
        if reason := unstorable(caption):
            raise UnreadableSample(f"its caption {reason}")
    return short, dense


class Shards:
    """One split of a WebDataset as a source: captioned images without classes (label 0)."""

    count = None

    def __init__(self, stage: DataStage):
        if not stage.root:
            raise UserError("data.root is missing: set it to the folder of the tar shards")
        self.stage = stage
        self.side = None if in_place(stage) else stage.resolution
        self.classes = ["image"]
        self.root = Path(stage.root)
        self.shards = shards(self.root, stage.split)

    def parts(self) -> list[Shard]:
        names = [below(path, self.root) for path in self.shards]
        return [Shard(*shard, self.side) for shard in zip(self.shards, names, strict=True)]

    def filled(self, unreadable: set[str]) -> Shards:
        """Return self: shards are read until there are enough readable examples anyway."""
        return self


@dataclass(frozen=True)
class Shard:
    """One tar file.

    Attributes:
        path: the file.
        name: its path below the root.
        side: side of the square images, in pixels. None: images are only checked, and stay in the shard.
    """

    path: Path
    name: str
    side: int | None

    @property
    def files(self) -> Sequence[Path]:
        return [self.path]

    @property
    def chosen(self) -> None:
        return None

    def examples(self) -> Iterator[Example | Unreadable]:
        with opened(self.path) as tar:
            for sample in samples(tar, self.path):
                try:
                    with explained(self.path, "read"):
                        example = self._example(tar, sample)
                except UnreadableSample as error:
                    yield Unreadable(f"{self.name}/{sample.name}", str(error))
                else:
                    yield example

    def _example(self, tar: tarfile.TarFile, sample: Sample) -> Example:
        picture, caption = sample.parts()
        short, dense = captions(_content(tar, caption), _suffix(caption))
        content = _content(tar, picture)
        try:
            image = load_or_check(io.BytesIO(content), self.side)
        except Exception as error:  # Pillow's parsers raise errors of any type
            raise UnreadableSample(damage_inside(error, content)) from error
        return Example(image, 0, short, dense, place=(picture.offset_data, picture.size))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MOST_BYTES:
        raise UnreadableSample(f"{member.name} has {member.size} bytes")
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def _suffix(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).suffix.lower()
