"""Classes prompted by text: encoded captions condition training and sampling instead of labels."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from nanogen.caches.files import TextFile
from nanogen.cli import main
from nanogen.config import stages
from nanogen.errors import UserError
from nanogen.files import write_json

BY_TEXT = {"kind": "text", "model": "qwen3", "tokens": 8}


def run(command: str, *more: str, **options: object) -> None:
    words = (str(word) for key, value in options.items() for word in (f"--{key}", value))
    assert main([command, *words, *more]) == 0


@pytest.fixture(scope="module")
def study(tiny, tmp_path_factory):
    """A study of ten photographs of two classes."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(10):
        name, color = ("polar_bear", (9 * number, 0, 0)) if number % 2 else ("cat", (0, 9 * number, 0))
        for split in ("train", "val"):
            path = root / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 36), color).save(path)
    return tiny(
        data={"source": "folder", "train_images": 10, "val_images": 10},
        data_root=str(root),
        tasks=["imagenet"],
        methods=["jit"],
        training={"batch_size": 8},
        models={"qwen3": {"source": "random"}},
        overrides={"tasks": {"imagenet": {"conditioner": BY_TEXT}}},
    )


@pytest.fixture(scope="module")
def made(study, tmp_path_factory) -> Path:
    """A folder with everything that the graph writes, up to the trained model."""
    folder = tmp_path_factory.mktemp("made")
    configs = {
        "data": stages.data(study, "imagenet", "train"),
        "encoder": stages.model(study, "qwen3"),
        "captions": stages.text(study, "imagenet", "qwen3"),
        "classes": stages.text(study, "classes", "qwen3"),
        "train": stages.train(study, "jit", "imagenet"),
        "sample": stages.sample(study, "jit", "imagenet", "cfg"),
    }
    for name, stage in configs.items():
        write_json(folder / f"{name}.json", stage)
    run("make-data", config=folder / "data.json", output=folder / "train.h5")
    run("random-model", config=folder / "encoder.json", output=folder / "qwen3")
    for name, option in (("captions", "data"), ("classes", "classes")):
        inputs = {option: folder / "train.h5", "encoder": folder / "qwen3"}
        run("encode-text", config=folder / f"{name}.json", output=folder / f"{name}.h5", **inputs)
    inputs = {"data": folder / "train.h5", "text": folder / "captions.h5", "state": folder / "state"}
    run("train", config=folder / "train.json", output=folder / "model", **inputs)
    return folder


def test_the_features_of_a_class_are_those_of_its_images(study, made):
    captions = TextFile(made / "captions.h5", stages.text(study, "imagenet", "qwen3")["hash"])
    classes = TextFile(made / "classes.h5", stages.text(study, "classes", "qwen3")["hash"])
    assert (len(captions), len(classes)) == (10, 2)
    of_images, of_classes = captions.batch(np.array([0, 9]), 0), classes.batch(np.array([0, 1]), 0)
    assert np.array_equal(of_images[1], of_classes[1])
    assert np.allclose(of_images[0], of_classes[0], atol=1e-3)
    assert not np.array_equal(of_classes[0][0], of_classes[0][1])


def test_a_sample_set_is_of_the_classes_in_turn(made, tmp_path):
    inputs = {"config": made / "sample.json", "model": made / "model", "text": made / "classes.h5"}
    run("sample", **inputs, output=tmp_path / "samples.h5")
    with h5py.File(tmp_path / "samples.h5") as file:
        assert file["labels"][:].tolist() == [0, 1] * 5
        assert len(file["images"]) == 10


def test_it_asks_for_the_classes_features(made, tmp_path, capsys):
    inputs = {"config": made / "sample.json", "model": made / "model"}
    words = [str(word) for key, value in inputs.items() for word in (f"--{key}", value)]
    assert main(["sample", *words, "--output", str(tmp_path / "samples.h5")]) == 2
    assert "--text FILE" in capsys.readouterr().err


def test_classes_with_more_than_one_caption_are_refused(tiny, tiny_images, made, tmp_path):
    from nanogen.cli.encode_text import _classes

    hash_ = stages.data(tiny(), "imagenet", "train")["hash"]
    with pytest.raises(UserError, match="only if all its images have the same caption"):
        _classes(tiny_images, hash_)


def test_only_these_runs_read_other_texts(study, tiny):
    sample = stages.sample(study, "jit", "imagenet", "cfg")
    assert set(sample["expects"]) == {"model", "text"}
    assert sample["expects"]["text"] == stages.text(study, "classes", "qwen3")["hash"]
    both = stages.sample(tiny(), "jit", "t2i", "cfg")
    assert both["expects"]["text"] == stages.text(tiny(), "prompts", "qwen3")["hash"]
