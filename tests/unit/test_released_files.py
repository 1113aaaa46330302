"""The authors' released models: fetched from a local hub, imported, or refused with an error message."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from golden_files import GOLDEN

from nanogen.backbones import load
from nanogen.config import load_study, own_models, stages, variants
from nanogen.config.load import trained_run
from nanogen.config.paths import Paths
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.interop.local_hub import COMMIT, serving
from nanogen.interop.released_files import fetch_checkpoint, fetch_rae
from nanogen.interop.stand_in import write_repositories
from nanogen.tokenizers import load_tokenizer

METHODS = ["dinov2-b", "dinov2-b-reg", "sd-vae-mse", "flux2-vae", "jit", "pixnerd", "meanflow"]
FACTS = GOLDEN.parent / "released.csv"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("released-rehearsal", {"methods": METHODS})


@pytest.fixture(scope="module")
def repositories(study, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_repositories(study, folder)
    return folder


@pytest.fixture
def hub(repositories, tmp_path, monkeypatch) -> Path:
    """A served copy of the repositories, which a test may change."""
    folder = tmp_path / "hub"
    shutil.copytree(repositories, folder)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(folder) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield folder


def checkpoint_of(hub: Path, stage: dict) -> Path:
    return hub / stage["released"]["repo"] / stage["released"]["file"]


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_checkpoint_becomes_a_model_that_says_where_it_is_from(
    study, hub, tmp_path, method, task
):
    stage = stages.trained_model(study, method, task)
    fetch_checkpoint(stage, tmp_path / "model")
    held = torch.load(checkpoint_of(hub, stage), weights_only=True)["ema"]
    model = load(tmp_path / "model").state_dict()
    assert torch.equal(model["time.frequencies"], held["t_embedder.W"])
    card = read_json(tmp_path / "model" / "nanogen.json")
    assert (card["hash"], card["commit"]) == (stage["hash"], COMMIT)
    assert list(card["sha256"]) == [stage["released"]["file"]]
    assert card["quality"]["parameters"] == sum(value.numel() for value in model.values())
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert not any(name.endswith(".pt") for name in names)
    assert "stage.json" in names


def test_meanflow_without_guidance_has_weights_of_its_own(study, hub, tmp_path):
    files = {}
    for weights in variants.trainings(trained_run(study, "meanflow", "imagenet")):
        stage = stages.trained_model(study, "meanflow", "imagenet", weights)
        fetch_checkpoint(stage, tmp_path / f"model{weights}")
        files[weights] = stage["released"]["file"]
    assert re.search("kappa0.5", files[""])
    assert re.search("kappa0.0", files["-nocfg"])


def test_an_rae_arrives_as_a_tokenizer_that_decodes(study, hub, tmp_path):
    stage = stages.model(study, "rae-dinov2-b")
    fetch_rae(stage, tmp_path / "rae")
    tokenizer = load_tokenizer(tmp_path / "rae")
    assert tokenizer.decode_uint8(torch.randn(1, *tokenizer.latent_shape), "truncated").shape == (
        *(1, 256, 256),
        3,
    )
    assert read_json(tmp_path / "rae" / "nanogen.json")["hash"] == stage["hash"]
    assert not list((tmp_path / "rae").rglob("*.pt"))


def test_a_file_that_changes_at_the_same_revision_is_refused(study, hub, tmp_path):
    stage = stages.trained_model(study, "jit", "imagenet")
    fetch_checkpoint(stage, tmp_path / "model")
    shutil.rmtree(tmp_path / "model")
    path = checkpoint_of(hub, stage)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "step": 3}, path)
    with pytest.raises(UserError, match=rf"has changed .*set released.revision to {COMMIT}"):
        fetch_checkpoint(stage, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    (tmp_path / "model.sha256.json").unlink()
    fetch_checkpoint(stage, tmp_path / "model")


def _page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")


def _pointer(path: Path) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _of_another_method(path: Path) -> None:
    other = next(file for file in path.parent.glob("*reg0.03*.pt") if file != path)
    shutil.copy(other, path)


@pytest.mark.parametrize("damage", [_page, _pointer, _truncated, _of_another_method])
def test_what_is_no_checkpoint_of_the_method_is_refused_and_nothing_is_written(
    study, hub, tmp_path, damage
):
    stage = stages.trained_model(study, "flux2-vae", "imagenet")
    damage(checkpoint_of(hub, stage))
    with pytest.raises(UserError) as said:
        fetch_checkpoint(stage, tmp_path / "model")
    assert str(said.value).count("\n") == 0
    assert not (tmp_path / "model").exists()


def test_statistics_of_another_grid_are_refused(study, hub, tmp_path):
    stage = stages.model(study, "rae-dinov2-b")
    path = hub / stage["model"]["hub"]["repo"] / stage["model"]["released"]["statistics"]
    torch.save({"mean": None, "var": torch.ones(768, 8, 8)}, path)
    with pytest.raises(UserError, match="another grid"):
        fetch_rae(stage, tmp_path / "rae")
    assert not (tmp_path / "rae").exists()


def test_a_file_that_is_not_in_the_repository_is_named(study, hub, tmp_path):
    stage = stages.trained_model(study, "jit", "t2i")
    checkpoint_of(hub, stage).unlink()
    with pytest.raises(UserError, match="diffusion-bench has no file t2i/ckpts/t2i-jit"):
        fetch_checkpoint(stage, tmp_path / "model")


@pytest.mark.parametrize("name", ["released", "released-512", "released-rehearsal"])
def test_the_studies_of_released_models_train_nothing(name):
    study = load_study(name)
    for task in study.tasks:
        for method in study.methods:
            for weights in variants.trainings(trained_run(study, method, task)):
                assert not own_models.is_own(study, method, task, weights)
                assert "/released/" in Paths(study).trained(method, task, weights)
    if "imagenet" in study.tasks and name == "released":
        assert stages.reference_splits(study) == ["val"]


def test_the_revision_is_one_key_and_part_of_what_follows():
    pinned = load_study("released", {"released": {"revision": "abc"}})
    unpinned = load_study("released")
    for make in (
        lambda study: stages.trained_model(study, "jit", "imagenet"),
        lambda study: stages.model(study, "rae-pe-l"),
    ):
        assert make(pinned)["hash"] != make(unpinned)["hash"]
        assert "abc" in json.dumps(make(pinned))


@pytest.mark.skipif(not FACTS.exists(), reason=f"{FACTS} is not here")
def test_the_files_are_those_of_the_authors_configurations():
    listed = {row["file"] for row in csv.DictReader(FACTS.open(encoding="utf-8"))}
    named = set()
    for name in ("released", "released-512"):
        study = load_study(name)
        named |= {
            stages.trained_model(study, method, task, weights)["released"]["file"]
            for task in study.tasks
            for method in study.methods
            for weights in variants.trainings(trained_run(study, method, task))
        }
    assert named == listed
