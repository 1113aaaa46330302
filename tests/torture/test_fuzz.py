"""Damaged inputs end in a result or an error message: no traceback, no hang, little memory.

Hypothesis draws the damage, the same in every run, and shrinks damage that fails. `make torture` tries
ten times as many inputs.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from damage import Damage, damaged_bytes, damaged_document, damaged_hdf5
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from nanogen.config import load_study
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.image_sets import open_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.interop.weights import read_weights
from nanogen.leaderboard import entry
from nanogen.models.network_files import load_weights
from nanogen.prompts.files import read_prompts, read_texts
from nanogen.report.results import read_metric

INPUTS = int(os.environ.get("NANOGEN_FUZZ", "100"))
SECONDS, BYTES = 10, 2 << 30


@dataclass(frozen=True)
class Kind:
    """A kind of input: its file's name, how an intact one is written and read, and how it is damaged."""

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]
    damage: st.SearchStrategy[Damage]


def study(path: Path) -> None:
    path.write_text(
        "study: x\nextends: nano\nmethods: [jit]\ntraining:\n  steps: 10\n"
        "  optimizer: {warmup_steps: 1}\ndata: {train_images: 10}\n"
        "overrides: {tasks: {t2i: {training: {steps: 5}}}}\n"
    )


def prompts(path: Path) -> None:
    one = {"prompt": "a red circle", "tag": "t", "include": [{"class": "circle", "count": 1}]}
    content = [one, {**one, "exclude": [{"class": "square", "count": 2}]}]
    text = "\n".join(map(json.dumps, content)) if path.suffix == ".jsonl" else json.dumps(content)
    path.write_text(text)


def metric(path: Path) -> None:
    about = {"metric": "fid", "method": "jit", "task": "imagenet", "variant": "cfg"}
    values = {"values": {"fid": 1.5}, "protocol": "p", "inputs": {"samples": "0" * 16}}
    write_json(path, {**label("metric", 1, "0" * 16, **about), **values})


def handed_in(path: Path) -> None:
    measured = {"values": {"fid": 1.5}, "protocol": "p", "hash": "0" * 16, "file": "a/fid.json"}
    scores = {"task": "imagenet", "guidance": "with", "samples": 5}
    found = entry.make(
        "x",
        entry.Method(name="jit", family="pixel", title="JiT"),
        [entry.Scores(**scores, metrics={"fid": entry.Measured(**measured, sha256="0" * 64)})],
        [],
        entry.Provenance(seed=1, commits=[], versions=[], devices=[], unrecorded=[]),
    )
    entry.write(found, path)


def images(path: Path) -> None:
    about = {"split": "train", "task": "imagenet", "classes": '["a", "b"]'}
    with hdf5.create(path, label("images", 1, "0" * 16, **about)) as file:
        file["images"] = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
        file["labels"] = np.array([0, 1, 0])
        file.create_dataset("captions/short", data=["a", "b", "c"], dtype=h5py.string_dtype())


def read_images(path: Path) -> None:
    file = ImageFile(path)
    np.asarray(file.images).sum()
    file.captions()
    list(open_images(path).batches(2))


def weights(path: Path) -> None:
    save_file({"weight": torch.ones(3, 3), "bias": torch.ones(3)}, path)


def checkpoint(path: Path) -> None:
    torch.save({"ema": {"weight": torch.ones(3, 3)}, "model": {"weight": torch.ones(3, 3)}}, path)


def picture(path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 14, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def shard(path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG")
    members = {"a.png": buffer.getvalue(), "a.txt": b"one", "b.png": buffer.getvalue()}
    members["b.json"] = b'{"short": "x", "dense": "y"}'
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def imported(path: Path) -> None:
    root = path.parent / "root"
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / split / "0.tar").write_bytes(path.read_bytes())
    data = {"name": "t2i", "source": "webdataset", "resolution": 8, "root": str(root)}
    data |= {"train_images": 9, "val_images": 9, "unreadable": "skip", "scene": "single"}
    data |= {"caption_template": "{name}"}
    stage = {"stage": "data", "hash": "abc", "seed": 7, "split": "train", "data": data}
    write_images(stage, path.parent / "out.h5")


BYTES_OF_IT, JSON = damaged_bytes(), damaged_document(json.loads, json.dumps)
YAML = damaged_document(yaml.safe_load, yaml.safe_dump)


def read_study(path: Path) -> object:
    return load_study(str(path))


def read_images_of(path: Path) -> object:
    return list(open_images(path.parent, 8).batches(1))


def read_linear(path: Path) -> object:
    return load_weights(torch.nn.Linear(3, 3), path.parent)


def read_score(path: Path) -> object:
    return read_metric(path).value("fid")


KINDS = {
    "study": Kind("s.yaml", study, read_study, BYTES_OF_IT),
    "odd study": Kind("s.yaml", study, read_study, YAML),
    "prompts": Kind("p.json", prompts, read_prompts, BYTES_OF_IT),
    "odd prompts": Kind("p.json", prompts, read_prompts, JSON),
    "prompt lines": Kind("p.jsonl", prompts, read_texts, BYTES_OF_IT),
    "metric": Kind("fid.json", metric, read_score, BYTES_OF_IT),
    "odd metric": Kind("fid.json", metric, read_score, JSON),
    "entry": Kind("jit.json", handed_in, entry.read, BYTES_OF_IT),
    "odd entry": Kind("jit.json", handed_in, entry.read, JSON),
    "images": Kind("i.h5", images, read_images, BYTES_OF_IT),
    "odd images": Kind("i.h5", images, read_images, damaged_hdf5("images", "labels", "captions/short")),
    "weights": Kind("model.safetensors", weights, read_linear, BYTES_OF_IT),
    "checkpoint": Kind("c.pt", checkpoint, lambda path: read_weights(path, "ema"), BYTES_OF_IT),
    "shard": Kind("s.tar", shard, imported, BYTES_OF_IT),
    "picture": Kind("x.png", picture, read_images_of, BYTES_OF_IT),
    "jpeg": Kind("x.jpg", picture, read_images_of, BYTES_OF_IT),
}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert used * (1 if sys.platform == "darwin" else 1024) < BYTES


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_input_ends_in_a_result_or_a_sentence(name: str):
    kind, told = KINDS[name], []

    @settings(
        max_examples=-(-INPUTS // len(KINDS)),
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=SECONDS),
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.damage)
    def read(damage: Damage) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / kind.name
            kind.make(path)
            damage(path)
            try:
                kind.read(path)
            except UserError as error:
                told.append(bool(str(error).strip()))

    read()
    assert told  # something was damaged
    assert all(told)
