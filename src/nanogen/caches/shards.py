"""Caches in several files: shards, and an index that joins them to one virtual dataset.

A shard contains the latents of consecutive images, or the text features of consecutive items. The index
of text features also contains the offset of every text in the joined tokens.

An index is a cache like any other: HDF5 readers see one array in it. However, HDF5 returns zeros for a
missing shard and does not check whether a shard is the right one, so this module checks the shards
first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label

LATENTS = ("latents", 1)  # format and version of a cache, and of the index of one
LATENT_SHARD = ("latent_shard", 1)
LATENT_KEYS = ("tokenizer", "tokenizer_hash", "data_hash", "dtype", "shape")
Header = dict[str, Any]
TEXT = ("text", 1)  # format and version of a cache, and of the index of one
TEXT_SHARD = ("text_shard", 1)
TEXT_KEYS = ("kinds", "width", "encoder_hash", "data_hash", "texts")


@dataclass(frozen=True)
class Share:
    """The number of a shard, counted from 1, and the number of all shards."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Parse ``K-of-N``; raise UserError for another format, or if K is not from 1 to N."""
        found = re.fullmatch(r"(\d+)-of-(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UserError(f"--shard {text}: expected K-of-N with K from 1 to N, e.g. 3-of-7")
        return cls(int(found[1]), int(found[2]))

    def rows(self, total: int, batch: int) -> range:
        """Return the shard's part of ``total`` rows.

        It is cut at multiples of ``batch``, so that shards are encoded in the same batches as a single
        file, and equal it bit for bit. Some shards are empty if there are fewer batches than shards.
        """
        batches = -(-total // batch)
        first, last = (batches * k // self.count for k in (self.number - 1, self.number))
        return range(min(total, first * batch), min(total, last * batch))


def join_latents(hash_: str, files: Sequence[Path], output: Path) -> None:
    """Write ``output``, an index of the shards ``files`` of a ``latents`` stage, without copying data.

    The index refers to the shards relative to its own folder, so they can be moved together. Raises
    UserError if a shard is missing, damaged or of another configuration.
    """
    shards = complete(files, LATENT_SHARD, hash_, LATENT_KEYS)
    shape = tuple(shards[0][1]["shape"])
    layout = h5py.VirtualLayout(shape, np.float16)
    labels, entries, start = [], [], 0
    for path, header in shards:
        with hdf5.opened(path, *LATENT_SHARD) as file:
            part = hdf5.stored(file, "latents")
            labels.append(file["labels"][:])
        name, stop = below(path, output.parent), start + part.shape[0]
        if part.shape[0]:
            layout[start:stop] = h5py.VirtualSource(name, "latents", part.shape, np.float16)
        entries.append({"file": name, "rows": part.shape[0], "content": header["content"]})
        start = stop
    if start != shape[0]:
        raise UserError(f"{output}: its shards hold {start} latents, not {shape[0]}; make them again")
    header = {key: shards[0][1][key] for key in LATENT_KEYS} | {"shards": json.dumps(entries)}
    with hdf5.create(output, {**label(*LATENTS, hash_), **header}) as index:
        index.create_virtual_dataset("latents", layout)
        index.create_dataset("labels", data=np.concatenate(labels))


def complete(
    files: Sequence[Path], shard: tuple[str, int], hash_: str, of_the_cache: Sequence[str]
) -> list[tuple[Path, Header]]:
    """Return the shards in order, with their headers.

    Args:
        files: the shards, in any order.
        shard: their format and its version.
        hash_: the hash of the stage.
        of_the_cache: keys of the header that must be equal in all shards.

    Raises:
        UserError: the shards do not form one complete cache.
    """
    headers = [(Path(file), _header(Path(file), shard, hash_)) for file in files]
    headers.sort(key=lambda item: item[1]["shard"])
    first, expected = headers[0]
    for path, header in headers:
        different = [key for key in ("shards", *of_the_cache) if header[key] != expected[key]]
        if different:
            raise UserError(
                f"{path} and {first} belong to different caches: they differ in {', '.join(different)}; "
                "delete the wrong one and make it again"
            )
    if [header["shard"] for _, header in headers] != list(range(1, expected["shards"] + 1)):
        numbers = ", ".join(str(header["shard"]) for _, header in headers)
        raise UserError(
            f"{first.parent}: of {expected['shards']} shards there are only {numbers}; make the others"
        )
    return headers


def _header(path: Path, shard: tuple[str, int], hash_: str) -> Header:
    return {key: np.asarray(v).tolist() for key, v in hdf5.header(path, *shard, hash_).items()}


def below(path: Path, folder: Path) -> str:
    """Return ``path`` relative to ``folder``; raise UserError if it is outside ``folder``."""
    try:
        # A shard itself may be a link to a file in a store.
        return (path.parent.resolve() / path.name).relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise UserError(
            f"{path}: shards must be in or below {folder}, where their index is; move it there"
        ) from None


def parts(
    file: h5py.File, hash_: str, name: str = "latents", shard: tuple[str, int] = LATENT_SHARD
) -> list[hdf5.Stored]:
    """Return where a dataset of an open cache is stored: in the cache itself, or in its shards.

    Args:
        file: the open cache.
        hash_: the hash of its stage.
        name: the dataset.
        shard: the format and version of the shards.

    Raises:
        UserError: a shard is missing, truncated, or not the one that was joined.
    """
    if "shards" not in file.attrs:
        return [hdf5.stored(file, name)]
    index = Path(file.filename)
    found = []
    for entry in json.loads(file.attrs["shards"]):
        path = index.parent / entry["file"]
        if not path.exists():
            raise UserError(f"{index} joins {path}, which is missing; `snakemake {path}` makes it again")
        with hdf5.opened(path, *shard, hash_) as opened:
            part, content = hdf5.stored(opened, name), opened.attrs["content"]
        if part.shape[0] != entry["rows"] or content != entry["content"]:
            raise UserError(
                f"{path} has changed since {index} was written; delete {index} and make it again"
            )
        found.append(part)
    return found


def join_texts(hash_: str, files: Sequence[Path], output: Path) -> None:
    """Write ``output``, an index of the shards ``files`` of a ``text`` stage, without copying data.

    The index refers to the shards relative to its own folder, so they can be moved together. Raises
    UserError if a shard is missing, damaged or of another configuration.
    """
    shards = complete(files, TEXT_SHARD, hash_, TEXT_KEYS)
    first, parts, lengths, places, stored = shards[0][1], [], [], [], 0
    for path, _ in shards:
        with hdf5.opened(path, *TEXT_SHARD) as file:
            parts.append(hdf5.stored(file, "tokens"))
            lengths.append(np.diff(file["offsets"][:]))
            places.append(stored + text_places(file))
            stored += len(lengths[-1])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    if sum(map(len, places)) != first["texts"]:
        raise UserError(f"{output}: its shards do not hold {first['texts']} texts; make them again")
    layout = h5py.VirtualLayout((int(offsets[-1]), first["width"]), np.float16)
    entries, start = [], 0
    for (path, header), part in zip(shards, parts, strict=True):
        name, count = below(path, output.parent), part.shape[0]
        if count:
            source = h5py.VirtualSource(name, "tokens", part.shape, np.float16)
            layout[start : start + count] = source
        entries.append({"file": name, "rows": count, "content": header["content"]})
        start += count
    header = {key: first[key] for key in TEXT_KEYS} | {"shards": json.dumps(entries)}
    with hdf5.create(output, {**label(*TEXT, hash_), **header}) as index:
        index.create_virtual_dataset("tokens", layout)
        index.create_dataset("offsets", data=offsets)
        if first["texts"] > stored:
            index.create_dataset("places", data=np.concatenate(places))


def text_places(file: h5py.File) -> np.ndarray:
    """Return the index of the stored text for each text of an open cache or shard, int64 (texts,)."""
    return file["places"][:] if "places" in file else np.arange(len(file["offsets"]) - 1)
