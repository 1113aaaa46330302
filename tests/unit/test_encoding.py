"""Encoding latents during training: results equal to those from a cache, and the choice between them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nanogen.caches.shards import LATENTS
from nanogen.cli import main
from nanogen.config import Study, disk, load_study, stages
from nanogen.config.cache_choice import choice, choose, note
from nanogen.config.model_stage import ModelStage
from nanogen.data import hdf5
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.stage2.encoded import Encoder
from nanogen.tokenizers import load_tokenizer

METHOD = "sd-vae-mse"


@pytest.fixture(scope="module")
def prepared(tiny, tiny_images, tmp_path_factory) -> tuple[Path, dict]:
    """A folder with a random tokenizer, stages and a latent cache, and the ``train`` stage."""
    folder = tmp_path_factory.mktemp("encoding")
    study = tiny(models={METHOD: {"source": "random"}})
    files = {
        "model": stages.model(study, METHOD),
        "latents": stages.latents(study, "imagenet", METHOD),
        "train": stages.train(study, METHOD, "imagenet"),
    }
    for name, stage in files.items():
        write_json(folder / f"{name}.json", stage)
    run("random-model", config=folder / "model.json", output=folder / METHOD)
    inputs = {"data": tiny_images, "tokenizer": folder / METHOD}
    run("encode-latents", config=folder / "latents.json", **inputs, output=folder / "latents.h5")
    return folder, files["train"]


def run(command: str, **options: object) -> int:
    return main([command, *(str(w) for k, v in options.items() for w in (f"--{k}", v))])


def curve(folder: Path, name: str, **inputs: object) -> list[dict]:
    options = {"state": folder / f"{name}-state", "output": folder / name, "log-every": 1}
    assert run("train", config=folder / "train.json", **options, **inputs) == 0
    return [json.loads(line) for line in (folder / name / "train.jsonl").read_text().splitlines()]


def test_encoding_while_training_gives_the_losses_of_a_cache(prepared, tiny_images):
    folder, stage = prepared
    cached = curve(folder, "cached", latents=folder / "latents.h5")
    encode = {"encode": folder / "latents.json", "tokenizer": folder / METHOD}
    direct = curve(folder, "direct", data=tiny_images, **encode)
    assert len(cached) == len(direct) == stage["training"]["steps"]
    for one, other in zip(cached, direct, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-3)
    cards = [json.loads((folder / name / "nanogen.json").read_text()) for name in ("cached", "direct")]
    assert cards[0]["hash"] == cards[1]["hash"]  # the hash does not depend on the cache


@pytest.mark.parametrize("bf16", [False, True])
def test_latents_of_a_bfloat16_training_are_rounded_ones(prepared, tiny_images, bf16):
    folder, _ = prepared
    stage = ModelStage.from_json(read_json(folder / "model.json"))
    encode = Encoder(load_tokenizer(folder / METHOD, stage.model), torch.device("cpu"), 4, bf16)
    images = np.array(ImageFile(tiny_images).images[:8])
    with hdf5.opened(folder / "latents.h5", *LATENTS) as file:
        cached = torch.from_numpy(file["latents"][:8]).float()
    difference = float((encode(images) - cached).norm() / cached.norm())
    assert 1e-3 < difference < 2e-2 if bf16 else difference < 1e-3


def test_other_images_another_tokenizer_or_study_are_refused(prepared, tiny_images, tmp_path, capsys):
    folder, _ = prepared
    options = {"config": folder / "train.json", "state": tmp_path / "s", "output": tmp_path / "m"}
    encode = {"encode": folder / "latents.json", "tokenizer": folder / METHOD}
    assert run("train", **options, **encode) == 2
    assert "--encode needs --data FILE and --tokenizer FOLDER" in capsys.readouterr().err
    assert run("train", **options, **encode, data=folder / "latents.h5") == 2
    assert "is not a nanogen.images file" in capsys.readouterr().err
    latents = json.loads((folder / "latents.json").read_text())
    write_json(tmp_path / "latents.json", {**latents, "hash": "5" * 16})
    other = {**encode, "encode": tmp_path / "latents.json"}
    assert run("train", **options, **other, data=tiny_images) == 2
    assert f"of hash {'5' * 16}, but the run is trained on" in capsys.readouterr().err


def cached(study: Study, kind: str = "latents") -> set[tuple[str, str]]:
    chosen = choice(study)
    return {(c.task, c.network) for c in chosen.caches if c.kind == kind and c.name in chosen.cached}


def test_auto_caches_what_is_cheapest_per_training_within_the_budget():
    keys = {"methods": ["dinov2-b", METHOD, "meanflow", "flux2-vae"], "text": "online"}
    caches = choice(load_study("nano", keys)).caches
    vae = [one for one in caches if one.network == METHOD]
    assert [one.trainings for one in vae] == [2, 2]  # MeanFlow reads them too
    budget = (sum(one.size for one in vae) + 1) / 1e9
    small = load_study("nano", {**keys, "cache_budget_gb": budget})
    assert cached(small) == {("imagenet", METHOD), ("t2i", METHOD)}
    assert cached(load_study("nano", {**keys, "cache": "never"})) == set()
    assert cached(load_study("nano", {**keys, "cache": "always", "cache_budget_gb": 0})) == {
        (task, name) for task in ("imagenet", "t2i") for name in ("rae-dinov2-b", METHOD, "flux2-vae")
    }


def test_text_features_share_the_budget_unless_the_study_says_otherwise():
    keys = {"methods": [METHOD], "tasks": ["t2i"], "cache_budget_gb": 0}
    for text, expected in (("auto", set()), ("cache", {("t2i", "qwen3")}), ("online", set())):
        assert cached(load_study("nano", {**keys, "text": text}), "text") == expected
    enough = load_study("nano", {**keys, "cache_budget_gb": 1})
    assert cached(enough, "text") == {("t2i", "qwen3")}


def test_a_small_study_caches_everything_whatever_the_disk():
    study = load_study("nano")
    assert choose(study, 0).cached == {one.name for one in choice(study).caches}


def test_without_a_budget_it_is_what_the_disk_leaves():
    keys = {"methods": ["dinov2-b", METHOD], "tasks": ["imagenet"], "cache_budget_gb": None}
    study = load_study("paper", keys)
    names = {free: choose(study, free * 1e9).cached for free in (100, 500, 2000)}
    assert names[100] == set()
    assert names[500] == {f"latents/imagenet/{METHOD}"}
    assert names[2000] == {f"latents/imagenet/{METHOD}", "latents/imagenet/rae-dinov2-b"}


def test_a_run_follows_its_own_note_when_the_disk_fills(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {"methods": [METHOD], "tasks": ["imagenet"], "cache_budget_gb": None}
    chosen = choice(load_study("paper", keys)).cached
    note(load_study("paper", keys))
    path = tmp_path / "results/paper/caches.json"
    assert json.loads(path.read_text())["cached"] == {
        f"latents/imagenet/{METHOD}": bool(chosen),
    }
    for noted in (True, False):
        write_json(path, {"cached": {f"latents/imagenet/{METHOD}": noted}})
        assert bool(choice(load_study("paper", keys)).cached) == noted
        assert "delete it to choose again" in choice(load_study("paper", keys)).why
    write_json(path, {"cached": ["latents"]})
    with pytest.raises(UserError, match="is damaged: it does not say what is cached"):
        choice(load_study("paper", keys))


def test_what_is_cached_is_part_of_no_hash():
    hashes = {
        stages.train(load_study("nano", keys), METHOD, "t2i")["hash"]
        for keys in ({}, {"cache": "never"}, {"text": "online"}, {"cache_budget_gb": 0})
    }
    assert len(hashes) == 1


def test_a_given_cache_is_used_and_takes_nothing_of_the_budget():
    given = {"t2i": {METHOD: {"file": "cache.h5", "tokenizer": "config/models"}}}
    study = load_study("nano", {"methods": [METHOD], "cache": "never", "latents": given})
    assert cached(study) == {("t2i", METHOD)}
    assert choice(study).written() == [one for one in choice(study).caches if one.kind == "text"]


def test_the_plan_says_what_is_cached_and_what_is_encoded():
    keys = {"methods": ["dinov2-b", METHOD], "tasks": ["imagenet"]}
    study = load_study("paper", {**keys, "cache_budget_gb": 100})
    said = disk.notice(study)
    assert f"  latents/imagenet/{METHOD}: 10 GB" in said
    head = "Encoded in every training step instead of cached (budget 100 GB, cache_budget_gb: 100):"
    assert head in said
    assert "  latents/imagenet/rae-dinov2-b: 504 GB saved, encoded by 1 training" in said
