"""Captions encoded while training: the training is the same as with cached features."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nanogen.cli import main
from nanogen.config import stages
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.files import write_json

METHOD, ENCODER = "jit", "qwen3"


def run(command: str, **options: object) -> int:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    return main([command, *(str(w) for k, v in named.items() for w in (f"--{k}", v))])


@pytest.fixture(scope="module")
def prepared(tiny, tmp_path_factory) -> Path:
    """A folder with captioned images, a random text encoder, the stages, and a cache."""
    folder = tmp_path_factory.mktemp("text")
    study = tiny(
        models={ENCODER: {"source": "random"}},
        overrides={
            "tasks": {
                "t2i": {
                    "conditioner": {"captions": ["short", "dense"]},
                    "training": {"steps": 8, "optimizer": {"decay_start": 4, "decay_end": 8}},
                }
            }
        },
    )
    files = {
        "model": stages.model(study, ENCODER),
        "text": stages.text(study, "t2i", ENCODER),
        "train": stages.train(study, METHOD, "t2i"),
    }
    for name, stage in files.items():
        write_json(folder / f"{name}.json", stage)
    write_images(stages.data(study, "t2i", "train"), folder / "train.h5")
    run("random-model", config=folder / "model.json", output=folder / ENCODER)
    inputs = {"data": folder / "train.h5", "encoder": folder / ENCODER}
    assert run("encode-text", config=folder / "text.json", **inputs, output=folder / "text.h5") == 0
    return folder


def curve(folder: Path, name: str, **inputs: object) -> list[dict]:
    options = {"state": folder / f"{name}-state", "output": folder / name, "log_every": 1}
    options |= {"data": folder / "train.h5"}
    assert run("train", config=folder / "train.json", **options, **inputs) == 0
    return [json.loads(line) for line in (folder / name / "train.jsonl").read_text().splitlines()]


def test_captions_encoded_while_training_give_the_losses_of_a_cache(prepared):
    cached = curve(prepared, "cached", text=prepared / "text.h5")
    encode = {"encode_text": prepared / "text.json", "text_encoder": prepared / ENCODER}
    direct = curve(prepared, "direct", **encode)
    assert len(cached) == len(direct) > 1
    for one, other in zip(cached, direct, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
    cards = [json.loads((prepared / n / "nanogen.json").read_text()) for n in ("cached", "direct")]
    assert cards[0]["hash"] == cards[1]["hash"]  # the source of the features is no part of the hash


def test_what_is_missing_or_of_another_study_is_said(prepared, tmp_path, capsys):
    options = {"config": prepared / "train.json", "state": tmp_path / "s", "output": tmp_path / "m"}
    encode = {"encode_text": prepared / "text.json", "text_encoder": prepared / ENCODER}
    assert run("train", **options, **encode) == 2
    assert "--encode-text needs --data FILE and --text-encoder FOLDER" in capsys.readouterr().err
    text = json.loads((prepared / "text.json").read_text())
    write_json(tmp_path / "text.json", {**text, "hash": "5" * 16})
    encode["encode_text"] = tmp_path / "text.json"
    assert run("train", **options, **encode, data=prepared / "train.h5") == 2
    assert f"of hash {'5' * 16}, but the run is trained on" in capsys.readouterr().err


def test_captions_are_read_by_row(prepared):
    images = ImageFile(prepared / "train.h5")
    for kind in ("short", "dense"):
        every, rows = images.captions(kind), [5, 0, 5, 2]
        assert images.captions_of(np.array(rows), kind) == [every[row] for row in rows]
    assert images.captions_of(np.array([], int)) == []
