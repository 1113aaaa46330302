"""A run of image files as a part of an import; captions are given or are in files next to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.data.captioned_files import caption_of
from nanogen.data.crop import load
from nanogen.data.source import Example, Unreadable
from nanogen.data.tar_samples import UnreadableSample
from nanogen.data.webdataset import captions
from nanogen.files import damage

RUN = 2048  # number of files in a part


@dataclass(frozen=True)
class PictureFile:
    """One image file.

    Attributes:
        name: its path below the root.
        label: its class.
        caption: its caption; None if that is in a file next to it.
    """

    name: str
    label: int = 0
    caption: str | None = None


@dataclass(frozen=True)
class Run:
    """Image files below ``root``, to be cropped to squares of ``side`` pixels."""

    root: Path
    pictures: Sequence[PictureFile]
    side: int

    @property
    def name(self) -> str:
        return f"{self.pictures[0].name} to {self.pictures[-1].name}"

    @property
    def files(self) -> list[Path]:
        pictures = [self.root / picture.name for picture in self.pictures]
        beside = [file for p, file in zip(self.pictures, pictures, strict=True) if p.caption is None]
        return [*pictures, *filter(None, map(caption_of, beside))]

    @property
    def chosen(self) -> list[Any]:
        return [[picture.name, picture.label, picture.caption] for picture in self.pictures]

    def examples(self) -> Iterator[Example | Unreadable]:
        for picture in self.pictures:
            try:
                yield self._example(picture)
            except UnreadableSample as error:
                yield Unreadable(picture.name, str(error))
            except Exception as error:  # Pillow's parsers raise errors of any type
                yield Unreadable(picture.name, damage(error, self.root / picture.name))

    def _example(self, picture: PictureFile) -> Example:
        path, short = self.root / picture.name, picture.caption
        if short is not None:
            return Example(load(path, self.side), picture.label, short, short)
        beside = caption_of(path)
        if beside is None:
            raise UnreadableSample("there is no caption (.txt or .json) next to it")
        short, dense = captions(beside.read_bytes(), beside.suffix)
        return Example(load(path, self.side), picture.label, short, dense)


def runs(root: Path, pictures: Sequence[PictureFile], side: int) -> list[Run]:
    """Divide the files, in order, into parts of `RUN` files."""
    return [Run(root, pictures[k : k + RUN], side) for k in range(0, len(pictures), RUN)]
