"""What trackers record of a training, read back with their own readers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import NamedTuple

import commands
import networks
import numpy as np
import pytest
from PIL import Image
from test_online import EVALUATED
from trainings import ALONE, Stopping, train_in

from nanogen.cli import main
from nanogen.config import stages
from nanogen.config.sample_stage import OnlineStage
from nanogen.config.train_stage import TrainStage
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.metrics.feature_files import write_reference
from nanogen.stage2.evaluation import Inputs, Online
from nanogen.stage2.tracking import GAP, grid
from nanogen.training.stopping import Interrupted


@pytest.fixture(scope="module")
def study(tiny):
    return tiny(training={"evaluate_every": 4, "evaluate_images": 20}, **EVALUATED)


@pytest.fixture(scope="module")
def inputs(study, tiny_images, tmp_path_factory) -> Inputs:
    """The inputs of an evaluation, with an untrained extractor."""
    place = tmp_path_factory.mktemp("tracking")
    networks.write_random(study, ("inception",), place)
    write_images(stages.data(study, "imagenet", "val"), place / "val.h5")
    real = {"train": ImageFile(tiny_images), "val": ImageFile(place / "val.h5")}
    folders = {"inception": place / "inception"}
    write_reference(stages.reference(study), real, folders, place / "statistics.h5")
    return Inputs(folders, reference=place / "statistics.h5")


@pytest.fixture
def tracked(study, inputs, tiny_images, tmp_path):
    """(trackers, stop at, evaluated) -> train, and return the folder that the trackers wrote to."""

    def trained(*trackers: str, stop_at: int = -1, evaluated: bool = True) -> Path:
        content = stages.train(study, "jit", "imagenet")
        stage = TrainStage.from_json(content)
        evaluation = OnlineStage.from_json(stages.online(study, "jit", "imagenet"))
        source = Stopping(stage, None, tiny_images, None)
        source.at = stop_at
        train_in(
            tmp_path,
            content,
            source,
            every=100,
            online=Online(evaluation, stage, inputs, ALONE) if evaluated else None,
            trackers=trackers,
            tracking=tmp_path / "tracking",
        )
        return tmp_path / "tracking"

    return trained


def lines(tmp_path: Path, name: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (tmp_path / "model" / name).read_text().splitlines()]


class Shown(NamedTuple):
    scalars: dict[str, list[tuple[int, float]]]
    images: list[tuple[int, np.ndarray]]


def read(folder: Path) -> Shown:
    """What TensorBoard's own reader finds in the event files."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    pictures = [e for tag in tags["images"] for e in events.Images(tag)]
    decoded = [np.array(Image.open(io.BytesIO(e.encoded_image_string))) for e in pictures]
    return Shown(scalars, list(zip([e.step for e in pictures], decoded, strict=True)))


def test_tensorboard_shows_the_curve_the_scores_and_grids_of_samples(tracked, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    shown = read(tracked("tensorboard") / "tensorboard")
    for line in lines(tmp_path, "train.jsonl"):
        for key in ("loss", "grad_norm", "update", "learning_rate", "images_per_second"):
            wanted = (line["step"], pytest.approx(line[key], rel=1e-6))
            assert wanted in shown.scalars[f"train/{key}"]
    assert [step for step, _ in shown.scalars["train/memory_gb"]] == [2, 4, 6, 8]
    assert all(0.05 < value < 100 for _, value in shown.scalars["train/memory_gb"])
    assert "train/mfu" not in shown.scalars  # a CPU's peak is not known
    scores = [(e["step"], pytest.approx(e["fid"], rel=1e-6)) for e in lines(tmp_path, "online.jsonl")]
    assert shown.scalars["evaluation/fid"] == scores
    assert [step for step, _ in shown.images] == [4, 8]
    assert shown.images[0][1].shape == (4 * 34 - GAP, 5 * 34 - GAP, 3)
    assert not np.array_equal(shown.images[0][1], shown.images[1][1])


def test_a_training_that_continues_is_shown_as_one(tracked, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    with pytest.raises(Interrupted):
        tracked("tensorboard", stop_at=3)
    shown = read(tracked("tensorboard") / "tensorboard")
    assert [step for step, _ in shown.scalars["train/loss"]] == [2, 4, 6, 8]
    assert [step for step, _ in shown.images] == [4, 8]


def test_a_training_that_begins_anew_is_shown_without_the_one_before(tracked, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    for _ in range(2):
        folder = tracked("tensorboard", evaluated=False) / "tensorboard"
        (tmp_path / "state" / "train.jsonl").unlink()
        for file in (tmp_path / "state").glob("step-*"):
            file.unlink()
    assert len(list(folder.iterdir())) == 1


def test_wandb_leaves_a_run_without_a_key(tracked, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed, which no other test needs")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tracked("wandb") / "wandb"
    (run,) = folder.glob("wandb/offline-run-*")
    assert list(run.glob("run-*.wandb"))
    assert len(list(run.glob("files/media/images/samples_*.png"))) == 2


def test_trackers_change_nothing_of_the_model(tracked, tmp_path, tiny, study):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    weights = []
    for trackers in ((), ("tensorboard",)):
        tracked(*trackers, evaluated=False)
        weights.append((tmp_path / "model" / "model.safetensors").read_bytes())
        for file in (tmp_path / "state").iterdir():
            file.unlink()
    assert weights[0] == weights[1]
    on = tiny(training={"trackers": ["tensorboard", "wandb"]})
    hashes = {stages.train(each, "jit", "imagenet")["hash"] for each in (study, on)}
    assert len(hashes) == 1


def test_a_grid_is_as_square_as_can_be():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    sheet = grid(images)
    assert sheet.shape == (10, 16, 3)
    assert [int(sheet[y, x, 0]) for y in (0, 6) for x in (0, 6, 12)] == [0, 1, 2, 3, 4, 255]
    assert grid(images[:1]).shape == (4, 4, 3)


def test_what_is_no_tracker_is_refused(tiny):
    with pytest.raises(UserError, match=r"training.trackers has 'tensorbord'.*tensorboard"):
        stages.train(tiny(training={"trackers": ["tensorbord"]}), "jit", "imagenet")


def test_a_tracker_without_a_folder_is_refused(study, tiny_images, tmp_path, capsys):
    stage = stages.train(study, "jit", "imagenet")
    words = commands.train(tmp_path, stage, tiny_images, log_every=2)
    assert main([*words, "--tracker", "tensorboard"]) == 2
    assert "--tracker needs --tracking FOLDER" in capsys.readouterr().err
