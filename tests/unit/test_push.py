"""A study's trained model is uploaded to a local hub and, fetched from there, draws the same images."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from commands import train
from measured import write_metric
from model_folders import model_folder, text_encoder_folder
from PIL import Image

from nanogen.backbones import load
from nanogen.cli import main
from nanogen.config import stages
from nanogen.config.paths import Paths
from nanogen.files import label, write_json
from nanogen.interop.hub import Repository, download
from nanogen.interop.local_hub import WRITER, serving

PUSH = ("push", "--study", "study.json", "--method", "jit")
IMAGENET = (*PUSH, "--task", "imagenet", "--repo", "someone/jit-scenes")
SCORES = {"accuracy": 0.75, "accuracy_low": 0.5, "accuracy_high": 0.875, "accuracy_chance": 0.05}


@pytest.fixture
def study(tiny, tmp_path, monkeypatch):
    """The tiny study in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    write_json("study.json", tiny().model_dump(mode="json"))
    return tiny()


@pytest.fixture(scope="module")
def trained(tiny, tiny_images, tmp_path_factory):
    """The folder of a model trained with jit on classes, with its record."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(train(folder, stages.train(tiny(), "jit", "imagenet"), tiny_images, 2)) == 0
    return folder / "model"


@pytest.fixture
def measured(study, trained):
    """The model's folder in the study, which has two scores of the model."""
    folder = Path(shutil.copytree(trained, "results/nano/runs/imagenet/jit/model"))
    stage = stages.distribution(study, "jit", "cfg")
    for name, values in (("fid", {"fid": 21.25}), ("accuracy", SCORES)):
        write_metric(Paths(study), stage, ("imagenet", "jit", "cfg", name), values)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of a hub with one repository, to which HF_TOKEN may write."""
    folder = tmp_path / "hub"
    (folder / "someone/jit-scenes").mkdir(parents=True)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with serving(folder) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield folder


def downloaded(repository, folder):
    """Download the repository's files as this program fetches any model."""
    download(Repository(repository), folder, list, lambda *_: None)
    return folder


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def drawn(folder, *options):
    assert main(["sample", "--model", str(folder), *options, "--output", "drawn"]) == 0
    return np.asarray(Image.open("drawn/00000.png"))


def test_what_was_pushed_is_downloaded_with_equal_weights(measured, hub, tmp_path, capsys):
    assert main([*IMAGENET]) == 0
    assert "/someone/jit-scenes/commit/" in capsys.readouterr().out
    copy = downloaded("someone/jit-scenes", tmp_path / "copy")
    ours, theirs = load(measured).state_dict(), load(copy).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    options = ("--class", "red circle", "--steps", "2")
    assert np.array_equal(drawn(copy, *options), drawn(measured, *options))
    assert json.loads((copy / "classes.json").read_text())[:2] == ["red circle", "red square"]
    assert not (copy / "provenance.json").exists()


def test_the_card_says_what_was_measured_and_how(measured, hub, study):
    assert main([*IMAGENET]) == 0
    card = (hub / "someone/jit-scenes/README.md").read_text()
    about = front_matter(card)
    assert about["license"] == "apache-2.0"
    assert about["library_name"] == "nanogen"
    assert {"fid", "accuracy"} == set(about["metrics"])
    (scored,) = about["model-index"]
    assert scored["results"][0]["dataset"]["name"] == "drawn-scenes"
    accuracy = next(m for m in scored["results"][0]["metrics"] if m["type"] == "accuracy")
    assert accuracy["value"] == 0.75
    ends = {"low": 0.5, "high": 0.875, "chance": 0.05, "protocol": "accuracy by the test's protocol"}
    assert ends.items() <= accuracy["args"].items()
    assert "| JiT, with guidance | Class acc. ↑ | 0.750 | 0.500–0.875 | 0.050 |" in card
    assert "- FID ↓: fid by the test's protocol" in card
    stage = stages.train(study, "jit", "imagenet")
    assert f"| Configuration | {stage['hash']} (`stage.json`) |" in card.replace("---:", ":")
    assert "| Seed | 2026 |" in card
    assert "nanogen sample --model jit-scenes --class 'red circle' --output images.png" in card


def test_a_text_to_image_model_brings_its_text_encoder(study, hub, tmp_path):
    stage = stages.train(study, "jit", "t2i")
    model = model_folder(tmp_path / "results/nano/runs/t2i/jit/model", stage)
    encoder = text_encoder_folder(tmp_path / "results/nano/models/qwen3", stage)
    write_json(encoder / "nanogen.json", label("model", 1, stage["use"]["text_encoder"]["hash"]))
    key = ("t2i", "jit", "cfg", "geneval")
    write_metric(Paths(study), stages.geneval(study, "jit", "cfg"), key, {"geneval": 0.5})
    assert main([*PUSH, "--task", "t2i", "--repo", "someone/new", "--create"]) == 0
    copy = downloaded("someone/new", tmp_path / "elsewhere")
    options = ("--prompt", "a red circle", "--steps", "2")
    assert np.array_equal(drawn(copy, *options), drawn(model, *options))


def test_a_dry_run_shows_everything_and_needs_neither_token_nor_network(measured, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main([*IMAGENET, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    size = (measured / "model.safetensors").stat().st_size
    assert f"{size / 1000:.0f} kB" in next(
        line for line in shown.splitlines() if line.startswith("model.safetensors ")
    )
    assert "for someone/jit-scenes; nothing was uploaded" in shown
    assert "library_name: nanogen" in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_no_path_of_this_machine_is_published(measured, hub):
    stage = json.loads((measured / "stage.json").read_text())
    stage["use"]["data"]["root"] = "/private/pictures"
    write_json(measured / "stage.json", stage)
    (measured / "provenance.json").unlink()
    assert main([*IMAGENET]) == 0
    published = json.loads((hub / "someone/jit-scenes/stage.json").read_text())
    assert published["use"]["data"]["root"] == "pictures"
    assert published["hash"] == stage["hash"]


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "hf_" not in said
    (line,) = [one for one in said.splitlines() if one.startswith("nanogen push:")]
    return line


@pytest.mark.parametrize(
    ("environment", "options", "said"),
    [
        ({"HF_TOKEN": ""}, (), "HF_TOKEN is not set; set it to a token that may write"),
        ({"HF_TOKEN": "hf_reader"}, (), "may not write to someone/jit-scenes"),
        ({}, ("--repo", "someone/absent"), "someone/absent is not on the hub, .* add --create"),
        ({}, ("--repo", "not a name"), "'not a name' is not the name of a repository; write OWNER/NAME"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, (), "cannot reach the hub .* nothing was committed"),
        ({"HF_HUB_OFFLINE": "1"}, (), "HF_HUB_OFFLINE is set; unset it to upload"),
        ({}, ("--method", "jti"), "study nano has no method 'jti'; did you mean 'jit'"),
        ({}, ("--task", "t2i"), "has not been trained on t2i; make it with `snakemake"),
    ],
)
def test_mistakes_are_one_sentence(measured, hub, monkeypatch, capsys, environment, options, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert re.search(said, refused(capsys, *IMAGENET, *options))
    assert not list((hub / "someone/jit-scenes").iterdir())


def test_a_model_without_scores_is_not_published(measured, hub, capsys):
    for path in measured.parent.glob("cfg/metrics/*.json"):
        path.unlink()
    assert "no finished metric file of jit; make them with" in refused(capsys, *IMAGENET)


def test_weights_that_are_not_those_of_the_record_are_not_published(measured, hub, capsys):
    with open(measured / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    said = refused(capsys, *IMAGENET)
    assert "model.safetensors is not the file that provenance.json describes" in said
    assert not list((hub / "someone/jit-scenes").iterdir())


def test_what_others_made_is_named_and_needs_a_licence(tiny, study, capsys):
    hub = {"repo": "others/vae", "revision": "v1", "subfolder": "vae"}
    theirs = tiny(methods=["sd-vae-mse"], models={"sd-vae-mse": {"source": "download", "hub": hub}})
    write_json("study.json", theirs.model_dump(mode="json"))
    stage = stages.train(theirs, "sd-vae-mse", "imagenet")
    model_folder(Path(Paths(theirs).trained("sd-vae-mse", "imagenet")).parent, stage)
    scores = stages.distribution(theirs, "sd-vae-mse", "cfg")
    write_metric(Paths(theirs), scores, ("imagenet", "sd-vae-mse", "cfg", "fid"), {"fid": 3.5})
    command = (*IMAGENET, "--method", "sd-vae-mse", "--dry-run")
    assert "name the model's licence with --license" in refused(capsys, *command)
    assert main([*command, "--license", "mit"]) == 0
    shown = capsys.readouterr().out
    assert "license: mit\n" in shown
    assert "hf download others/vae --revision v1 --include 'vae/*'" in shown
    assert "mv jit-scenes/sd-vae-mse.files/vae jit-scenes/sd-vae-mse" in shown


def encoding(tiny, name, **models):
    """Write a study with the method ``name``, its trained model with a score, and its tokenizer."""
    study = tiny(methods=[name], models=models)
    write_json("study.json", study.model_dump(mode="json"))
    stage = stages.train(study, name, "imagenet")
    model_folder(Path(Paths(study).trained(name, "imagenet")).parent, stage)
    scores = stages.distribution(study, name, "cfg")
    write_metric(Paths(study), scores, ("imagenet", name, "cfg", "fid"), {"fid": 3.5})
    used = stage["use"]["tokenizer"]
    folder = Path(Paths(study).model(used["model"]["name"]))
    for part in ("decoder", "encoder"):
        (folder / part).mkdir(parents=True)
        (folder / part / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "nanogen.json", label("model", 1, used["hash"], name=folder.name))
    return (*IMAGENET, "--method", name, "--dry-run")


THEIRS = {"source": "download", "hub": {"repo": "others/network"}}


@pytest.mark.parametrize("theirs", [True, False])
def test_a_raes_encoder_is_uploaded_only_if_the_study_made_it(tiny, study, capsys, theirs):
    command = encoding(tiny, "dinov2-b", **({"dinov2-b": THEIRS} if theirs else {}))
    if theirs:
        assert "it must suit those of dinov2-b" in refused(capsys, *command)
    assert main([*command, *(("--license", "mit") if theirs else ())]) == 0
    shown = capsys.readouterr().out
    assert "rae-dinov2-b/decoder/model.safetensors" in shown
    assert ("rae-dinov2-b/encoder/model.safetensors" in shown) != theirs


def test_a_vae_that_was_tuned_from_somebody_elses_needs_a_licence(tiny, study, capsys):
    command = encoding(tiny, "e2e-va-vae", **{"va-vae": THEIRS})
    assert "it must suit those of va-vae (" in refused(capsys, *command)
