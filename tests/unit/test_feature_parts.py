"""Features of a sample set depend neither on batch size nor on the number of processes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import networks
import numpy as np
import pytest
from killed import left_by_killed

from nanogen.cli import main
from nanogen.config import stages
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.files import label, read_json, write_json
from nanogen.metrics.feature_files import write_features, write_reference
from nanogen.metrics.scores import score_distribution
from nanogen.records import record
from nanogen.training.processes import share

NAMES = ("inception", "convnext")
IMAGES = 150  # more than have spatial features; the network's fifth batch is not full


@pytest.fixture(scope="module")
def study(tiny):
    return tiny(
        data={"train_images": 200, "val_images": IMAGES},
        evaluation={"images": IMAGES, "extractors": list(NAMES)},
        models={
            "inception": {"source": "random"},
            "convnext": {"source": "random", "architecture": {"num_classes": 20}},
        },
    )


@pytest.fixture(scope="module")
def place(study, tmp_path_factory) -> Path:
    """A folder with the networks, a sample set, the reference and the stages."""
    place = tmp_path_factory.mktemp("features")
    networks.write_random(study, NAMES, place)
    for split in ("train", "val"):
        write_images(stages.data(study, "imagenet", split), place / f"{split}.h5")
    images = {split: ImageFile(place / f"{split}.h5") for split in ("train", "val")}
    write_reference(stages.reference(study), images, folders(place), place / "reference.h5")
    stage = stages.features(study, "jit", "cfg")
    header = label("samples", 1, stage["expects"]["samples"], method="jit", variant="cfg")
    with hdf5.create(place / "samples.h5", header) as file:
        file["images"], file["labels"] = images["val"].images, images["val"].labels
    write_json(place / "stage.json", stage)
    write_json(place / "distribution.json", stages.distribution(study, "jit", "cfg"))
    return place


def folders(place: Path) -> dict[str, Path]:
    return {name: place / name for name in NAMES}


def launched(place: Path, output: Path, processes: int, *options: str) -> subprocess.CompletedProcess:
    """Run `nanogen launch ... score-samples` of both stages in this many processes."""
    words = ["--config", "stage.json", "--config", "distribution.json", "--samples", "samples.h5"]
    words += ["--reference", "reference.h5", "--features", str(output)]
    words += ["--output", f"scores-{output.stem}"]
    words += [word for name in NAMES for word in ("--network", f"{name}={name}")]
    launch = [sys.executable, "-m", "nanogen", "launch", "--processes", str(processes), "--"]
    command = [*launch, "score-samples", *words, *options]
    return subprocess.run(command, cwd=place, capture_output=True, text=True)


@pytest.fixture(scope="module")
def usual(study, place) -> Path:
    """Features computed by one process in batches of 64."""
    stage = stages.features(study, "jit", "cfg")
    write_features(stage, place / "samples.h5", folders(place), place / "usual.h5", 64)
    return place / "usual.h5"


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every dataset of the file by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]} if hasattr(item, "shape") else {})
        )
    return found


def scores(study, folder: Path) -> dict[str, float]:
    return {
        key: value
        for name in stages.metrics_of(study, "imagenet")
        for key, value in read_json(folder / f"{name}.json")["values"].items()
    }


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_size_changes_no_bit(study, place, usual, batch):
    again = place / f"by-{batch}.h5"
    stage = stages.features(study, "jit", "cfg")
    write_features(stage, place / "samples.h5", folders(place), again, batch)
    expected = arrays(usual)
    assert set(expected) == {
        *("inception/features", "inception/logits", "inception/spatial/mu", "inception/spatial/sigma"),
        *("convnext/features", "convnext/logits", "labels"),
    }
    assert expected["convnext/features"].std() > 0
    for name, values in arrays(again).items():
        assert np.array_equal(values, expected[name]), name


def layout(path: Path) -> list[list[str]]:
    """The datasets of each network in the order of their position in the file."""
    with h5py.File(path) as file:
        return [sorted(file[name], key=lambda kind: _place(file[name][kind])) for name in NAMES]


def _place(of: h5py.Dataset | h5py.Group) -> int:
    """Offset in bytes from the beginning of the file."""
    return of.id.get_offset() if isinstance(of, h5py.Dataset) else min(map(_place, of.values()))


@pytest.mark.slow
def test_two_processes_extract_what_one_does(study, place, usual):
    left_by_killed(place / "two.h5")
    done = launched(place, place / "two.h5", 2, "--batch-size", "7")
    assert done.returncode == 0, done.stderr
    assert "96 features of 150 images" in done.stderr
    expected, found = arrays(usual), arrays(place / "two.h5")
    assert set(found) == set(expected)
    for name, values in found.items():
        assert np.array_equal(values, expected[name]), name
    assert not list(place.glob(".two.h5*"))
    assert [order for order in layout(place / "two.h5") if order != sorted(order)] == []
    stage = stages.distribution(study, "jit", "cfg")
    score_distribution(stage, usual, place / "reference.h5", place / "scores-usual")
    assert scores(study, place / "scores-two") == scores(study, place / "scores-usual")
    noted = [record.read(place / name) for name in ("two.h5", "scores-two/fid.json")]
    assert [one["configuration"]["stage"] for one in noted] == ["features", "distribution"]
    assert noted[0]["command"] == noted[1]["command"]
    assert noted[0]["usage"]["user"] > 0


def test_features_are_extracted_once_as_long_as_nothing_before_them_changes(place, caplog, monkeypatch):
    monkeypatch.chdir(place)
    words = ["score-samples", "--config", "stage.json", "--samples", "samples.h5", "--output", "none"]
    words += [word for name in NAMES for word in ("--network", f"{name}={name}")]
    caplog.set_level("INFO")

    def extracted() -> bool:
        caplog.clear()
        assert main([*words, "--features", "again.h5"]) == 0
        return "96 features of 150 images" in caplog.text

    assert extracted()
    first = read_json(place / "again.h5.provenance")
    assert not extracted()
    assert "again.h5: the features are there already" in caplog.text
    assert read_json(place / "again.h5.provenance") == first
    (place / "samples.h5").touch()
    assert extracted()
    (place / "convnext" / "model.safetensors").touch()
    assert extracted()
    (place / "again.h5").write_bytes((place / "again.h5").read_bytes()[:5000])
    assert extracted()
    assert not extracted()


@pytest.mark.parametrize("count", [0, 1, 32, 33, 150, 50000])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_shares_follow_each_other_and_are_cut_between_batches(count, world):
    shares = [share(count, rank, world, 32) for rank in range(world)]
    assert shares[0][0] == 0
    assert shares[-1][1] == count
    assert all(a[1] == b[0] for a, b in pairwise(shares))
    assert all(stop % 32 == 0 or stop == count for _, stop in shares)
    sizes = [stop - start for start, stop in shares]
    assert max(sizes) - min(sizes) <= 32 + count % 32
    assert sizes[0] > 0 or count == 0


def test_a_batch_size_of_nothing_is_refused(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    words = ["--config", "stage.json", "--samples", "samples.h5", "--features", "none.h5"]
    words += ["--network", "inception=inception", "--output", "none"]
    assert main(["score-samples", *words, "--batch-size", "0"]) == 2
    assert "--batch-size 0: it must be at least 1" in capsys.readouterr().err
