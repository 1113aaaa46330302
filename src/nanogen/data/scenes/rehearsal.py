"""Drawn scenes in the file format of a real data set, to rehearse its import.

Images are wider than high and larger than the study's resolution, so that the import crops and resizes
them like photographs.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nanogen.data.scenes import captions, draw, render, scenes
from nanogen.data.stage import DataStage
from nanogen.errors import UserError, nearest
from nanogen.files import atomic_folder, label, write_json

LARGER = 1.25  # ratio of an image's side to the resolution
WIDER = 1.2  # ratio of its width to its height
CLASSES = 4
SHARDS = 2
Picture = tuple[scenes.Scene, bytes]


def write_inputs(stage: Mapping[str, Any], output: Path) -> None:
    """Write the data set of an ``inputs`` stage; raise UserError for a source without a file format."""
    source = stage["data"]["source"]
    if source not in FORMATS:
        raise UserError(f"data.source {source!r} cannot be drawn{nearest(source, FORMATS)}")
    with atomic_folder(output) as folder:
        for split in ("train", "val"):
            FORMATS[source](folder / split, _pictures(DataStage.from_json(stage, split)))
        write_json(folder / "nanogen.json", label("inputs", 1, stage["hash"]))


def _pictures(stage: DataStage) -> Iterator[Picture]:
    """Yield as many scenes as the split needs, with their JPEG files."""
    side = round(LARGER * stage.resolution)
    assert stage.seed is not None
    for scene in draw.draw(stage.seed, stage.split, stage.scene, stage.images):
        image, _ = render.render(scene, side)
        beside = round((WIDER - 1) * side / 2)
        image = np.pad(image, ((0, 0), (beside, beside), (0, 0)), mode="edge")
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="JPEG", quality=95)
        yield scene, file.getvalue()


def _folder(root: Path, pictures: Iterator[Picture]) -> None:
    """Write ROOT/CLASS/*.jpg with few classes, which have meaningless names like ImageNet's."""
    for index, (_, content) in enumerate(pictures):
        folder = root / f"n{index % CLASSES:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:06d}.jpg").write_bytes(content)


def _webdataset(root: Path, pictures: Iterator[Picture]) -> None:
    """Write ROOT/*.tar with the image and the captions of each scene."""
    root.mkdir(parents=True)
    shards = [tarfile.open(root / f"{number:05d}.tar", "w") for number in range(SHARDS)]  # noqa: SIM115
    for index, (scene, content) in enumerate(pictures):
        text = {"short": captions.short(scene), "dense": captions.dense(scene)}
        _add(shards[index % SHARDS], f"{index:06d}.jpg", content)
        _add(shards[index % SHARDS], f"{index:06d}.json", json.dumps(text).encode())
    for shard in shards:
        shard.close()


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


FORMATS: dict[str, Callable[[Path, Iterator[Picture]], None]] = {
    "folder": _folder,
    "webdataset": _webdataset,
}
