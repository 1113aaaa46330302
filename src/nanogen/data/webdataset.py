"""WebDataset shards: tar files in which an image and its caption share a name and stand together.

Members are read in memory and never written to disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from nanogen.data.crop import load
from nanogen.data.source import Example, readable
from nanogen.data.stage import DataStage
from nanogen.data.tar_samples import Sample, UnreadableSample, opened, samples
from nanogen.data.tar_shards import shards
from nanogen.errors import UserError
from nanogen.files import damage_inside, explained
from nanogen.text import decoded, parsed, unstorable

SHORT_KEYS = ("short", "caption", "text")
DENSE_KEYS = ("dense", "long", "caption", "text")
MOST_BYTES = 256 << 20  # of one member: what a picture or a caption never has


def captions(content: bytes, suffix: str) -> tuple[str, str]:
    """Short and dense caption from a .txt (both the same) or a .json member.

    Raises UnreadableSample if there is none.
    """
    try:
        text = decoded(content, "its caption").strip()
        found = parsed(text, "its caption") if suffix == ".json" else text
    except UserError as error:
        raise UnreadableSample(str(error)) from error
    if isinstance(found, Mapping):
        short, dense = (
            next((found[key] for key in keys if found.get(key)), None)
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

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        if not stage.root:
            raise UserError("data.root is missing: say in which folder the tar shards lie")
        self.stage, self.left_out = stage, left_out
        self.classes = ["image"]
        self.root = Path(stage.root)
        self.shards = shards(self.root, stage.split)
        self.resolution = stage.resolution
        self.count = sum(1 for _ in self._samples())
        if not self.count:
            raise UserError(f"data.root: {stage.root} holds no readable images with captions")

    def _samples(self) -> Iterator[tuple[str, int, tarfile.TarFile, Sample]]:
        """Name, number of the shard, open shard and sample, for every sample with a picture."""
        taken = 0
        for number, shard in enumerate(self.shards):
            with opened(shard) as tar:
                for sample in samples(tar, shard):
                    name = f"{shard.relative_to(self.root).as_posix()}/{sample.name}"
                    if name in self.left_out:
                        continue
                    if taken == self.stage.images:
                        return
                    taken += 1
                    yield name, number, tar, sample

    def __len__(self) -> int:
        return self.count

    def _example(self, shard: int, tar: tarfile.TarFile, sample: Sample) -> Example:
        picture, caption = sample.parts()
        short, dense = captions(_content(tar, caption), _suffix(caption))
        content = _content(tar, picture)
        try:
            image = load(io.BytesIO(content), self.resolution)
        except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
            raise UnreadableSample(damage_inside(error, content)) from error
        place = (shard, picture.offset_data, picture.size)
        return Example(image, 0, short, dense, place=place)

    def _read(
        self, name: str, number: int, tar: tarfile.TarFile, sample: Sample
    ) -> tuple[str, Example | str]:
        """The sample's name, and its example or why it cannot be read."""
        try:
            with explained(self.shards[number], "read"):
                return name, self._example(number, tar, sample)
        except UnreadableSample as error:
            return name, str(error)

    def examples(self) -> Iterator[Example]:
        return readable(self._read(*each) for each in self._samples())

    def without(self, names: set[str]) -> Shards:
        return Shards(self.stage, self.left_out | names)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MOST_BYTES:
        raise UnreadableSample(f"{member.name} has {member.size} bytes")
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def _suffix(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).suffix.lower()
