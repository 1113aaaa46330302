"""Which data sets are read in place: an image file then contains the locations of their images.

The images of tar shards and of uncompressed Arrow files are contiguous bytes of the file. Those of
Parquet files are compressed in columns, so their pixels have to be copied.
"""

from __future__ import annotations

from pathlib import Path

from nanogen.data.exported_tables import Table, is_arrow, tables
from nanogen.data.photographs import is_exported
from nanogen.data.stage import DataStage, pixel_bytes
from nanogen.errors import UserError


def in_place(stage: DataStage) -> bool:
    """Whether the images of a split stay where they are.

    ``data.store: auto`` leaves them in tar shards, and in Arrow files if these are smaller than the
    pixels of the images in them would be. Raises UserError for ``places`` if images cannot stay where
    they are.
    """
    if stage.store == "pixels" or not stage.root:
        return False
    if stage.source == "webdataset":
        return True
    found = _arrow_files(stage)
    if stage.store == "places":
        if not found:
            raise UserError(
                "data.store places: only images in tar shards (source: webdataset) and in uncompressed "
                f"Arrow files can stay where they are, but {stage.root} has other files; use pixels"
            )
        return True
    size = sum(table.path.stat().st_size for table in found)
    if not found or size >= pixel_bytes(stage.images, stage.resolution):
        return False  # without counting rows
    count = min(stage.images, sum(table.rows for table in found))
    return size < pixel_bytes(count, stage.resolution)


def _arrow_files(stage: DataStage) -> list[Table]:
    """Return the tables of a split if they all are Arrow files that contain whole images."""
    if stage.source != "folder" or not is_exported(str(stage.root)):
        return []
    found = tables(Path(str(stage.root)), stage.split)
    return found if all(map(is_arrow, found)) and found[0].has_places() else []
