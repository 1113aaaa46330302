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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.data.walk import walk
from nanogen.data.wordnet import IMAGENET, imagenet_numbers
from nanogen.errors import UserError
from nanogen.files import damage

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import ipc

SPLITS = {"train": "train", "val": "val|valid|validation"}
LABELS = ("label", "labels", "cls", "fine_label")
ROWS = 32  # number of images read at a time
TABLES = (".parquet", ".arrow")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = damage(error, path)
        raise UserError(f"{path} is truncated or damaged ({reason}); fetch it again") from error


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
            with self._stream() as stream:
                return stream.schema

    def batches(self, *columns: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of these columns in order, a few at a time."""
        from pyarrow import parquet

        with _explained(self.path):
            if self.path.suffix == ".parquet":
                with parquet.ParquetFile(self.path) as file:
                    yield from file.iter_batches(ROWS, columns=list(columns))
            else:
                with self._stream() as stream:
                    for batch in stream:
                        yield batch.select(columns)

    @cached_property
    def rows(self) -> int:
        """The number of rows; images are not read for it."""
        from pyarrow import parquet

        with _explained(self.path):
            if self.path.suffix == ".parquet":
                return parquet.read_metadata(self.path).num_rows
            with self._stream() as stream:
                return sum(map(len, stream))

    @contextmanager
    def _stream(self) -> Iterator[Any]:
        """Open the memory-mapped record batches; Arrow's two formats differ in their first bytes."""
        import pyarrow as pa
        from pyarrow import ipc

        with pa.memory_map(str(self.path)) as source:
            if source.read(6) == b"ARROW1":
                with ipc.open_file(source) as file:
                    yield _Batches(file)
            else:
                source.seek(0)
                with ipc.open_stream(source) as stream:
                    yield stream


class _Batches:
    """An Arrow file with random access, read as a stream."""

    def __init__(self, file: ipc.RecordBatchFileReader):
        self.schema = file.schema
        self._file = file

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return map(self._file.get_batch, range(self._file.num_record_batches))


def is_of_split(name: str, split: str) -> bool:
    """Whether a file belongs to the split by its name or its folder's; ``name`` is its relative path."""
    return re.search(rf"(^|[-_/.])({SPLITS[split]})[-_/.]", name) is not None


def tables(root: Path, split: str) -> list[Table]:
    """Return the files of a split, ordered by name; raise UserError if there are none."""
    files = {file.relative_to(root).as_posix(): file for file in walk(root).only(TABLES).files}
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
    count = int(labels_of(found).max()) + 1
    return imagenet_numbers() if count == IMAGENET else [str(k) for k in range(count)]


def labels_of(found: list[Table]) -> np.ndarray:
    """Return the label of every row, int64 (N,), without reading images."""
    parts = [
        batch.column(0).to_numpy(zero_copy_only=False)
        for table in found
        for batch in table.batches(columns(table)[1])
    ]
    return np.concatenate(parts).astype(np.int64)
