"""Damaged inputs of every kind end in a result or in a sentence: no traceback, no hang, little memory.

Inputs are drawn from a seed, so one that fails is found again. `make torture` tries ten times as many.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
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
PIECES = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"{",
    b"[",
    b'"',
    b"\n",
    b": ",
)
WORDS = (b"null", b"-1", b"1e999", b"NaN", b"true", b'"x"', b"{}", b"[]", b"99999999999999999999", b"''")


@dataclass(frozen=True)
class Kind:
    """A kind of input: its file's name, its content where it is whole, and what reads it."""

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with one to four changes: bytes flipped, cut, doubled, exchanged or put in."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 2, 8, 64, 512)))
        match draw.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end]
            case 4:
                data[at:at] = draw.choice(PIECES)
            case _:
                data[at:end] = draw.choice(WORDS)
    return bytes(data)


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


def odd_images(path: Path) -> None:
    """A whole file, in which a part is missing or of another type or shape."""
    images(path)
    draw = random.Random(path.parent.name)
    odd = [np.zeros(3), np.zeros((3, 8, 8, 3)), np.uint8(1), "text", np.zeros((0,), np.int64), b"\xff"]
    with h5py.File(path, "a") as file:
        if draw.random() < 0.5:
            name = draw.choice(("images", "labels", "captions/short"))
            del file[name]
            if draw.random() < 0.8:
                file[name] = draw.choice(odd)
        else:
            name = draw.choice(sorted(file.attrs))
            del file.attrs[name]
            if draw.random() < 0.8:
                file.attrs[name] = draw.choice(odd)


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


KINDS = {
    "study": Kind("s.yaml", study, lambda path: load_study(str(path))),
    "prompts": Kind("p.json", prompts, read_prompts),
    "prompt lines": Kind("p.jsonl", prompts, read_texts),
    "metric": Kind("fid.json", metric, lambda path: read_metric(path).value("fid")),
    "entry": Kind("jit.json", handed_in, entry.read),
    "images": Kind("i.h5", images, read_images),
    "odd images": Kind("i.h5", odd_images, read_images),
    "weights": Kind(
        "model.safetensors", weights, lambda path: load_weights(torch.nn.Linear(3, 3), path.parent)
    ),
    "checkpoint": Kind("c.pt", checkpoint, lambda path: read_weights(path, "ema")),
    "shard": Kind("s.tar", shard, imported),
    "picture": Kind("x.png", picture, lambda path: list(open_images(path.parent, 8).batches(1))),
    "jpeg": Kind("x.jpg", picture, lambda path: list(open_images(path.parent, 8).batches(1))),
}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert used * (1 if sys.platform == "darwin" else 1024) < BYTES


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_input_ends_in_a_result_or_a_sentence(tmp_path: Path, name: str):
    kind, told = KINDS[name], 0
    for number in range(-(-INPUTS // len(KINDS))):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / kind.name
        kind.make(path)
        if name != "odd images":
            path.write_bytes(mutated(path.read_bytes(), random.Random(f"{name} {number}")))
        began = time.monotonic()
        try:
            kind.read(path)
        except UserError as error:
            told += bool(str(error).strip())
        except Exception as error:
            raise AssertionError(f"{name} {number}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - began < SECONDS, f"{name} {number}"
    assert told  # something was damaged
