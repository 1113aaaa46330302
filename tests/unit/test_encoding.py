"""Latents encoded while training: the same training as from a cache, and the choice between the two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanogen.cli import main
from nanogen.config import load_study, plan, stages
from nanogen.config.latent_caches import latents_of
from nanogen.errors import UserError
from nanogen.files import write_json

METHOD = "sd-vae-mse"


@pytest.fixture(scope="module")
def prepared(tiny, tiny_images, tmp_path_factory) -> tuple[Path, dict]:
    """A folder with a random tokenizer, the stages, and a cache; the training's stage."""
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
    assert cards[0]["hash"] == cards[1]["hash"]  # the model's name does not tell which it was


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


def test_auto_caches_what_is_cheapest_per_training_within_the_budget():
    keys = {"methods": ["dinov2-b", METHOD, "meanflow", "flux2-vae"], "cache": "auto"}
    everything = latents_of(load_study("nano", {**keys, "cache": "always"}))
    assert all(one.cached for one in everything.values())
    vae = [one for one in everything.values() if one.tokenizer == METHOD]
    assert [one.trainings for one in vae] == [2, 2]  # MeanFlow reads them too
    budget = (sum(one.size for one in vae) + 1) / 1e9
    chosen = latents_of(load_study("nano", {**keys, "cache_budget_gb": budget}))
    assert {one.tokenizer for one in chosen.values() if one.cached} == {METHOD}
    assert not any(o.cached for o in latents_of(load_study("nano", {**keys, "cache": "never"})).values())
    with pytest.raises(UserError, match="set cache_budget_gb"):
        latents_of(load_study("nano", keys))


def test_a_given_cache_is_used_and_takes_nothing_of_the_budget():
    given = {"t2i": {METHOD: {"file": "cache.h5", "tokenizer": "config/models"}}}
    study = load_study("nano", {"methods": [METHOD], "cache": "never", "latents": given})
    assert {key: one.cached for key, one in latents_of(study).items()} == {
        ("imagenet", METHOD): False,
        ("t2i", METHOD): True,
    }


def test_the_plan_says_what_is_cached_and_what_is_encoded():
    keys = {"methods": ["dinov2-b", METHOD], "tasks": ["imagenet"], "cache": "auto"}
    study = load_study("paper", {**keys, "cache_budget_gb": 100})
    said = plan.notice(study)
    assert f"  latents/imagenet/{METHOD}: 10 GB" in said
    assert "Encoded in every training step instead of cached (cache: auto, 100 GB):" in said
    assert "  latents/imagenet/rae-dinov2-b: 504 GB saved, encoded by 1 training" in said
