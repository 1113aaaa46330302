"""Mistakes end at once with one sentence that names the mistake, its place and the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.data import hdf5
from nanogen.files import label, write_json

slow = pytest.mark.slow
FOLDER = ("--configfile", "config/studies/folder.yaml")
MISTAKES = [
    (["methods=[jit,dinov2]"], ["unknown method 'dinov2'", "did you mean 'dinov2-b'"]),
    pytest.param(
        ["trainning={steps: 5}"], ["command line", "unknown key 'trainning'", "'training'"], marks=slow
    ),
    (["training={stepps: 5}"], ["unknown key 'training.stepps'", "did you mean 'steps'"]),
    pytest.param(["study=nanno"], ["unknown study 'nanno'", "did you mean 'nano'"], marks=slow),
    pytest.param(
        ["latents={imagenet: {sd-vae-mse: {file: /none/l.h5, tokenizer: /none}}}"],
        ["sd-vae-mse", "/none"],
        marks=slow,
    ),
    pytest.param(
        ["models={sd-vae-mse: {source: path, path: /none/vae}}"],
        ["models.sd-vae-mse.path", "folder /none/vae does not exist"],
        marks=slow,
    ),
    pytest.param(
        ["report={figures: {figur1: {width: 5}}}"],
        ["report.figures has no figure 'figur1'", "did you mean 'figure1'"],
        marks=slow,
    ),
    pytest.param(
        ["overrides={methods: {jit: {data: {resolution: 64}}}}"],
        ["jit on imagenet", "data.resolution is 64, but 32 for dinov2-b"],
        marks=slow,
    ),
]


@pytest.mark.parametrize(("options", "parts"), MISTAKES)
def test_mistakes_in_the_configuration(fresh, options, parts):
    outcome = fresh.dry_run("all", "--config", *options)
    assert_refused(outcome, *parts)


SMOKE = ("--config", "study=smoke")
TARGETS = [
    ("tabel2", "study smoke has no target 'tabel2'; did you mean 'table2'?"),
    (
        "results/smoke/tables/tabel2.html",
        "no target 'results/smoke/tables/tabel2.html'; did you mean 'results/smoke/tables/table2.html'?",
    ),
    (
        "results/smoke/runs/t2i/jit/cfg/metrics/gneval.json",
        "did you mean 'results/smoke/runs/t2i/jit/cfg/metrics/geneval.json'?",
    ),
    (
        "results/nano/tables/table2.html",
        "results/nano are another study's, see --config study=NAME",
    ),
    ("nothing-like-it", "valid are: all, bundle, caches, claims"),
    (
        "results/smoke/runs/imagenet/jti/model/nanogen.json",
        "study smoke has no run 'jti' on imagenet; its runs are",
    ),
]


@pytest.mark.parametrize(("target", "sentence"), TARGETS)
def test_a_misspelt_target_is_answered_with_the_nearest(fresh, target, sentence):
    assert_refused(fresh.dry_run(target, *SMOKE), sentence)


def assert_refused(outcome, *parts: str) -> None:
    assert outcome.code != 0
    for part in parts:
        assert part in outcome.text
    for place in ("Traceback", ", line ", ".smk"):  # no help to a user who mistyped a name
        assert place not in outcome.text


@pytest.mark.slow
def test_a_folder_study_without_its_folder(fresh):
    outcome = fresh.dry_run("all", *FOLDER)
    assert_refused(outcome, "study folder reads a folder of photographs", "--config data_root=PATH")


def test_a_data_root_that_is_not_there(fresh, tmp_path):
    outcome = fresh.dry_run("all", *FOLDER, "--config", f"data_root={tmp_path}")
    assert_refused(outcome, f"data_root: folder {tmp_path}/train does not exist", "PATH/train/CLASS/*")


@pytest.mark.slow
def test_a_failed_step_shows_its_sentence_and_stops(working_copy, photographs, tmp_path):
    """A real run: an unreadable image ends the workflow, and the terminal shows its name."""
    root = shutil.copytree(photographs, tmp_path / "photographs")
    broken = root / "train" / "cat" / "0.png"
    broken.write_bytes(b"no picture")
    (tmp_path / "copy").mkdir()
    copy = working_copy(tmp_path / "copy")
    target = "results/folder/data/imagenet/train.h5"
    outcome = copy.snakemake("--cores", "1", *FOLDER, "--config", f"data_root={root}", "--", target)
    assert_refused(outcome, "1 files under", "are unreadable", "cat/0.png")
    assert not (copy / target).exists()
    assert "cat/0.png" in (copy / "results/folder/logs/make_data/imagenet-train.log").read_text()


# ------------------------------------------------------------------------------- single steps


def refused(capsys, *arguments: object) -> str:
    """Return what a command prints that must refuse: no traceback, and exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return printed


def written(folder: Path, stage: dict) -> Path:
    """Write the stage's configuration as the workflow passes it to a step, and return its path."""
    path = folder / f"{stage['stage']}.json"
    write_json(path, stage)
    return path


def latents(folder: Path, hash_: str) -> Path:
    """Write a latent cache of 40 images that carries this hash, and return its path."""
    header = label("latents", 1, hash_, tokenizer="sd-vae-mse", tokenizer_hash="0" * 16)
    with hdf5.create(folder / "latents.h5", header) as file:
        file["latents"] = np.zeros((40, 8, 8, 8), np.float16)
        file["labels"] = np.arange(40) % 20
    return folder / "latents.h5"


def training(folder: Path, stage: dict, **inputs: Path) -> list[object]:
    options = {"config": written(folder, stage), "state": folder / "state", "output": folder / "m"}
    return ["train", *(word for k, v in {**options, **inputs}.items() for word in (f"--{k}", v))]


def test_an_empty_class_folder(capsys, photographs, tmp_path):
    (photographs / "train" / "owl").mkdir()
    try:
        study = load_study("folder", {"data_root": str(photographs)})
        config = written(tmp_path, stages.data(study, "imagenet", "train"))
        said = refused(capsys, "make-data", "--config", config, "--output", tmp_path / "train.h5")
    finally:
        (photographs / "train" / "owl").rmdir()
    assert f"the class folder {photographs}/train/owl is empty; fill or remove it" in said
    assert not (tmp_path / "train.h5").exists()


def test_a_cache_made_by_another_tokenizer(capsys, tmp_path):
    stage = stages.train(load_study("nano"), "sd-vae-mse", "imagenet")
    cache = latents(tmp_path, "feedfeedfeedfeed")
    said = refused(capsys, *training(tmp_path, stage, latents=cache))
    assert f"{cache} was made by another configuration" in said
    assert "carries hash feedfeedfeedfeed" in said
    assert f"this study expects {stage['expects']['latents']}" in said
    assert "delete it to make it again" in said


@pytest.mark.parametrize("kept", [0.5, 0.001])
def test_a_truncated_hdf5_file(capsys, tmp_path, kept):
    stage = stages.train(load_study("nano"), "sd-vae-mse", "imagenet")
    cache = latents(tmp_path, stage["expects"]["latents"])
    content = cache.read_bytes()
    cache.write_bytes(content[: int(kept * len(content))])
    said = refused(capsys, *training(tmp_path, stage, latents=cache))
    assert str(cache) in said
    assert "truncated" in said
    assert "delete it and make it again" in said


def test_an_input_that_is_not_there_or_of_another_kind(capsys, tmp_path):
    stage = stages.train(load_study("nano"), "jit", "imagenet")
    said = refused(capsys, *training(tmp_path, stage, data=tmp_path / "none.h5"))
    assert "none.h5 does not exist; make it with `snakemake" in said
    cache = latents(tmp_path, stage["expects"]["data"])
    said = refused(capsys, *training(tmp_path, stage, data=cache))
    assert "latents.h5 is not a nanogen.images file" in said
    said = refused(capsys, *training(tmp_path, stage))
    assert "this run needs --data FILE" in said


def test_the_configuration_of_another_stage(capsys, tmp_path):
    config = written(tmp_path, stages.prompts(load_study("nano")))
    said = refused(capsys, "make-data", "--config", config, "--output", tmp_path / "a.h5")
    assert "configures stage 'prompts', not 'data'" in said


@pytest.fixture
def few_images(tmp_path) -> Path:
    study = load_study("nano", {"data": {"train_images": 20, "val_images": 20}})
    return written(tmp_path, stages.data(study, "imagenet", "val"))


def test_no_permission_to_write(capsys, few_images, tmp_path, as_nobody):
    main(["make-data", "--config", str(few_images), "--output", str(tmp_path / "first.h5")])
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    with as_nobody():
        said = refused(capsys, "make-data", "--config", few_images, "--output", closed / "val.h5")
    assert f"cannot write {closed}/val.h5: no permission; change the folder's rights" in said


def test_a_full_disk(capsys, few_images, small_disk):
    said = refused(capsys, "make-data", "--config", few_images, "--output", small_disk / "val.h5")
    assert f"cannot write {small_disk}/val.h5: the disk is full; free some space" in said
    assert not list(small_disk.iterdir())


def test_a_disk_that_is_too_small_from_the_start(capsys, tmp_path, small_disk):
    study = load_study("nano", {"data": {"train_images": 20, "val_images": 100}})
    config = written(tmp_path, stages.data(study, "imagenet", "val"))
    said = refused(capsys, "make-data", "--config", config, "--output", small_disk / "val.h5")
    assert f"{small_disk}/val.h5 needs 0.000307 GB, but only " in said
    assert "are free on its disk; free some space, or put results/ on another disk" in said
