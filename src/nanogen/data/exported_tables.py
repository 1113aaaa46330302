"""Read data sets exported by the Hugging Face library: Parquet or Arrow files of images with labels.

The split is part of the name of a file or its folder (``train-00000-of-00294.parquet``,
``validation/data-00000-of-00001.arrow``). If no name contains the training split, all files that belong
to no split are used for training, such as files next to a folder ``val``. A row has an image, ``{bytes,
path}`` or bytes alone, and a class number; the names of the classes are in the schema's metadata. Files
are read a few rows at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nanogen.data.walk import below, walk
from nanogen.data.wordnet import IMAGENET, imagenet_numbers
from nanogen.errors import UserError
from nanogen.files import damage

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import ipc

SPLITS = {"train": "train", "val": "val|valid|validation"}
LABELS = ("label", "labels", "cls", "fine_label")
ROWS = 32  # number of images read at a time
# Files that the library leaves beside a data set, which contain results of its own functions.
CACHES = re.compile(r"(cache-|tmp).*\.arrow")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = damage(error, path)
        raise UserError(f"{path} is truncated or damaged ({reason}); fetch it again") from error


class Mapped(NamedTuple):
    """A file in memory: its address and its size in bytes."""

    address: int
    size: int

    def place(self, buffer: pa.Buffer) -> tuple[int, int] | None:
        """Return the offset and size of a buffer in the file; None if it is not a part of the file.

        The buffers of a compressed batch are not.
        """
        offset = buffer.address - self.address
        return (offset, buffer.size) if 0 <= offset <= self.size - buffer.size else None


@dataclass(frozen=True)
class Table:
    """One Parquet or Arrow file. All methods raise UserError if it is damaged."""

    path: Path

    @cached_property
    def schema(self) -> pa.Schema:
        from pyarrow import parquet

        with _explained(self.path):
            if self.path.suffix == ".parquet":
                return parquet.read_schema(self.path)
            with self._stream() as (stream, _):
                return stream.schema

    def batches(self, *columns: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of these columns in order, a few at a time."""
        return (batch for batch, _ in self.mapped_batches(*columns))

    def mapped_batches(self, *columns: str) -> Iterator[tuple[pa.RecordBatch, Mapped | None]]:
        """Yield `batches`, each with the memory map that it is a part of; None for Parquet files."""
        from pyarrow import parquet

        with _explained(self.path):
            if self.path.suffix == ".parquet":
                with parquet.ParquetFile(self.path) as file:
                    for batch in file.iter_batches(ROWS, columns=list(columns)):
                        yield batch, None
            else:
                with self._stream() as (stream, mapped):
                    for batch in stream:
                        yield batch.select(columns), mapped

    def has_places(self) -> bool:
        """Whether the table's first image is contiguous bytes of the file."""
        for batch, mapped in self.mapped_batches(columns(self)[0]):
            for image in encoded_images(batch.column(0)):
                if image:
                    return mapped is not None and mapped.place(image) is not None
        return True

    @cached_property
    def rows(self) -> int:
        """The number of rows; images are not read for it."""
        from pyarrow import parquet

        with _explained(self.path):
            if self.path.suffix == ".parquet":
                return parquet.read_metadata(self.path).num_rows
            with self._stream() as (stream, _):
                return sum(map(len, stream))

    @contextmanager
    def _stream(self) -> Iterator[tuple[Any, Mapped]]:
        """Open the memory-mapped record batches; Arrow's two formats differ in their first bytes."""
        import pyarrow as pa
        from pyarrow import ipc

        with pa.memory_map(str(self.path)) as source:
            start = source.read_buffer(6)
            mapped = Mapped(start.address, source.size())
            if start.to_pybytes() == b"ARROW1":
                with ipc.open_file(source) as file:
                    yield _Batches(file), mapped
            else:
                source.seek(0)
                with ipc.open_stream(source) as stream:
                    yield stream, mapped


class _Batches:
    """An Arrow file with random access, read as a stream."""

    def __init__(self, file: ipc.RecordBatchFileReader):
        self.schema = file.schema
        self._file = file

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return map(self._file.get_batch, range(self._file.num_record_batches))


def is_table(file: Path) -> bool:
    """Whether a file is a Parquet or Arrow file of a data set, and not a cache of the library."""
    return file.suffix in (".parquet", ".arrow") and not CACHES.fullmatch(file.name)


def is_of_split(name: str, split: str) -> bool:
    """Whether a file belongs to the split by its name or its folder's; ``name`` is its relative path."""
    return re.search(rf"(^|[-_/.])({SPLITS[split]})[-_/.]", name) is not None


def tables(root: Path, split: str) -> list[Table]:
    """Return the files of a split, ordered by name; raise UserError if there are none."""
    files = {below(file, root): file for file in filter(is_table, walk(root).files)}
    found = [file for name, file in files.items() if is_of_split(name, split)]
    if not found and split == "train":
        found = [file for name, file in files.items() if not is_of_split(name, "val")]
    if not found:
        raise UserError(
            f"data.root: no parquet or Arrow file in {root} is of the split {split}; expected its name "
            f"in the file's or folder's, e.g. {split}-00000-of-00001.parquet"
        )
    return [Table(file) for file in found]


def columns(table: Table) -> tuple[str, str]:
    """Return the names of the columns of images and labels; raise UserError if there are none."""
    import pyarrow as pa

    schema = table.schema
    pictures = [field.name for field in schema if _is_picture(field.type)]
    known = [name for name in LABELS if name in schema.names]
    numbers = [name for name in known if pa.types.is_integer(schema.field(name).type)]
    if not pictures or not numbers:
        raise UserError(
            f"{table.path} has columns {', '.join(schema.names)}: expected images (bytes, or bytes "
            f"and path) and integer labels in one of {', '.join(LABELS)}"
        )
    return pictures[0], numbers[0]


def is_arrow(table: Table) -> bool:
    """Whether a table is an Arrow file, not a Parquet file."""
    return table.path.suffix == ".arrow"


def encoded_images(column: pa.Array) -> list[pa.Buffer | None]:
    """Return the encoded image in each row without copying it; None for a row without one."""
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        column = column.flatten()[column.type.get_field_index("bytes")]
    width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    _, offsets, content = column.buffers()
    if content is None:
        return [None] * len(column)
    bounds = np.frombuffer(offsets, width)[column.offset :][: len(column) + 1].tolist()
    found = zip(pairwise(bounds), column.is_valid().tolist(), strict=True)
    return [content.slice(start, stop - start) if valid else None for (start, stop), valid in found]


def _is_picture(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def class_names(root: Path) -> list[str]:
    """Return the names of the classes by label, from the metadata of the training files.

    Without metadata they are ImageNet's if there are as many classes, and numbers otherwise.
    """
    found = tables(root, "train")
    _, label = columns(found[0])
    metadata = json.loads((found[0].schema.metadata or {}).get(b"huggingface", b"{}"))
    names = metadata.get("info", {}).get("features", {}).get(label, {}).get("names")
    if names:
        return list(names)
    count = int(labels_of(found).max(initial=-1)) + 1
    if not count:
        raise UserError(
            f"data.root: the training files in {root}, such as {found[0].path}, have no rows"
        )
    return imagenet_numbers() if count == IMAGENET else [str(k) for k in range(count)]


def labels_of(found: list[Table]) -> np.ndarray:
    """Return the label of every row, int64 (N,), without reading images."""
    parts = [
        batch.column(0).to_numpy(zero_copy_only=False)
        for table in found
        for batch in table.batches(columns(table)[1])
    ]
    return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
