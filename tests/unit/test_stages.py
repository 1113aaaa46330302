"""Hashes follow what changes a result and nothing else."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from nanogen.config import load_study, stages, yaml_files
from nanogen.config.stages.base import counted
from nanogen.config.stages.text_to_image import clip_score
from nanogen.errors import UserError
from nanogen.identity import config_hash, seed_for


def hashes(study) -> dict[str, str]:
    """Hash of every stage of three methods and two tasks."""
    found = {}
    for task in ("imagenet", "t2i"):
        for split in ("train", "val"):
            found[f"data {task} {split}"] = stages.data(study, task, split)["hash"]
        for tokenizer in ("rae-dinov2-b", "sd-vae-mse"):
            found[f"latents {task} {tokenizer}"] = stages.latents(study, task, tokenizer)["hash"]
        for method in study.methods:
            found[f"train {task} {method}"] = stages.train(study, method, task)["hash"]
            for variant in ("cfg", "nocfg"):
                sample = stages.sample(study, method, task, variant)
                found[f"sample {task} {method} {variant}"] = sample["hash"]
    for name in ("dinov2-b", "rae-dinov2-b", "sd-vae-mse", "qwen3", "inception", "detector", "vqa"):
        found[f"model {name}"] = stages.model(study, name)["hash"]
    found["questions"] = stages.questions(study)["hash"]
    found["text t2i"] = stages.text(study, "t2i", "qwen3")["hash"]
    found["text prompts"] = stages.text(study, "prompts", "qwen3")["hash"]
    found["reference"] = stages.reference(study)["hash"]
    for method in study.methods:
        found[f"score {method} cfg"] = stages.distribution(study, method, "cfg")["hash"]
        found[f"simpleeval {method}"] = stages.simpleeval(study, method, "cfg")["hash"]
        found[f"geneval {method}"] = stages.geneval(study, method, "cfg")["hash"]
        found[f"answers {method}"] = stages.question_scores(study, method, "cfg")["hash"]
    return found


METHODS = ["dinov2-b", "sd-vae-mse", "jit"]


def small(keys=None):
    return load_study("nano", {"methods": METHODS, **(keys or {})})


BEFORE = hashes(small())


def changed(**keys) -> set[str]:
    after = hashes(small(keys))
    return {name for name in BEFORE if BEFORE[name] != after[name]}


def test_every_stage_has_its_own_hash():
    assert len(set(BEFORE.values())) == len(BEFORE)


@pytest.mark.parametrize(
    "keys",
    [
        {"report": {"figures": {"figure1": {"width": 6}}}},
        {"training": {"checkpoint_every": 7, "log_every": 3}},
        {"training": {"sharding": "fsdp", "micro_batch": 4}},
        {"training": {"evaluate_every": 5, "evaluate_images": 9}},
        {"sampling": {"batch_size": 17}},
        {"study": "other"},
        {"methods": METHODS[::-1]},
    ],
)
def test_what_changes_no_result_changes_no_hash(keys):
    after = hashes(small(keys))
    assert after == BEFORE


PAPER = {"methods": METHODS, "evaluation": {"clipscore": "color-classifier"}}


@pytest.mark.parametrize(
    "models",
    [
        {"dinov2-b": {"hub": {"size_mb": 1, "gated": True}}, "sd-vae-mse": {"hub": {"size_mb": 1}}},
        {"inception": {"file": {"size_mb": 1, "licence": "MIT"}, "statistics_hub": {"size_mb": 1}}},
        {"detector": {"hub": {"size_mb": 1}}, "qwen3": {"hub": {"size_mb": 1}}},
        {"color-classifier": {"hub": {"size_mb": 1}}},
    ],
)
def test_what_is_known_of_a_download_changes_no_hash(models):
    found, corrected = (load_study("paper", {**PAPER, **given}) for given in ({}, {"models": models}))
    assert hashes(found) == hashes(corrected)
    scores = [clip_score(study, "jit", "cfg")["hash"] for study in (found, corrected)]
    assert scores[0] == scores[1]


def test_what_is_known_of_a_file_of_prompts_changes_no_hash(tmp_path, monkeypatch):
    before = stages.prompts(load_study("mid"))
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    file = tmp_path / "config/prompts/geneval.yaml"
    text = file.read_text()
    file.write_text(re.sub("(size_mb|licence|prompts): .*", r"\1: 7", text).replace("licence: 7", ""))
    assert file.read_text() != text
    monkeypatch.chdir(tmp_path)  # read_yaml remembers files by the working directory
    after = stages.prompts(load_study("mid"))
    assert after["hash"] == before["hash"]
    file.write_text(text.replace("djghosh13", "somebody"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert stages.prompts(load_study("mid"))["hash"] != before["hash"]


def test_the_number_of_images_of_a_task_concerns_its_own_samples_only():
    """Text-to-image draws a number of images per prompt, and ImageNet a number in all."""
    by_class = changed(evaluation={"images": 300})
    assert {name for name in by_class if name.startswith("sample")} == {
        f"sample imagenet {method} {variant}" for method in METHODS for variant in ("cfg", "nocfg")
    }
    by_prompt = changed(evaluation={"images_per_prompt": 2})
    assert not {name for name in by_prompt if "imagenet" in name or name.startswith("score")}
    assert "sample t2i jit cfg" in by_prompt


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("imagenet", {"evaluation": {"images_per_prompt": 2}}),
        ("t2i", {"evaluation": {"images": 300}}),
        ("t2i", {"training": {"evaluate_images": 9}}),
    ],
)
def test_the_other_tasks_number_of_images_concerns_no_evaluation_while_training(task, keys):
    found = [stages.online(small(given), "jit", task)["hash"] for given in ({}, keys)]
    assert found[0] == found[1]


def test_one_methods_steps_concern_its_training_and_what_follows():
    names = changed(overrides={"methods": {"jit": {"training": {"steps": 901}}}})
    assert names == {
        *(f"train {task} jit" for task in ("imagenet", "t2i")),
        *(
            f"sample {task} jit {variant}"
            for task in ("imagenet", "t2i")
            for variant in ("cfg", "nocfg")
        ),
        "score jit cfg",
        "geneval jit",
        "answers jit",
        "simpleeval jit",
    }


def test_guidance_concerns_the_guided_samples_only():
    names = changed(overrides={"methods": {"jit": {"sampling": {"guidance_scale": 7.0}}}})
    samples = {"sample imagenet jit cfg", "sample t2i jit cfg"}
    assert names == samples | {"score jit cfg", "geneval jit", "answers jit", "simpleeval jit"}


def test_who_compares_concerns_no_sample():
    names = changed(models={"weak-scorer": {"training": {"steps": 3}}})
    assert {name.split()[0] for name in names} == {"simpleeval"}


def test_who_names_the_classes_concerns_no_sample():
    names = changed(evaluation={"classifier": None})
    assert names == {f"score {method} cfg" for method in METHODS}


def test_one_tokenizers_training_concerns_the_methods_that_use_it():
    names = changed(models={"sd-vae-mse": {"training": {"steps": 3}}})
    assert "train imagenet sd-vae-mse" in names
    assert "latents t2i sd-vae-mse" in names
    assert not {name for name in names if "jit" in name or "dinov2-b" in name}
    assert not {name for name in names if name.startswith(("data", "text", "reference"))}


def test_the_seed_concerns_everything():
    assert changed(seed=1) == set(BEFORE)


def test_the_captioned_images_concern_tokenizers_but_no_class_conditional_pixels():
    names = changed(overrides={"tasks": {"t2i": {"data": {"train_images": 4000}}}})
    assert "data t2i train" in names
    assert "train t2i jit" in names
    assert "train imagenet sd-vae-mse" in names  # its VAE learns from them
    assert not names & {
        "data imagenet train",
        "reference",
        "train imagenet jit",
        "sample imagenet jit cfg",
    }


def test_a_stage_expects_the_hashes_of_what_it_reads():
    study = load_study("nano")
    train = stages.train(study, "sd-vae-mse", "t2i")
    assert train["expects"] == {"latents": BEFORE["latents t2i sd-vae-mse"], "text": BEFORE["text t2i"]}
    sample = stages.sample(study, "sd-vae-mse", "t2i", "cfg")
    assert sample["expects"]["model"] == train["hash"]
    assert stages.train(study, "jit", "imagenet")["expects"] == {
        "data": BEFORE["data imagenet train"],
    }


def test_a_stages_hash_is_that_of_its_json_but_for_keys_as_they_were_introduced():
    stage = stages.train(load_study("nano"), "jit", "imagenet")
    content = {key: value for key, value in stage.items() if key not in ("hash", "use")}
    assert config_hash(counted(json.loads(json.dumps(content)))) == stage["hash"]


def test_a_copy_of_a_models_folder_has_the_same_identity(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"a": 1}')
    models = [
        stages.model(
            load_study(
                "nano", {"models": {"sd-vae-mse": {"source": "path", "path": str(tmp_path / n)}}}
            ),
            "sd-vae-mse",
        )["hash"]
        for n in ("here", "there")
    ]
    assert models[0] == models[1] != BEFORE["model sd-vae-mse"]


@pytest.mark.parametrize("name", ["stats.npz", "merges.txt", "spiece.model", "chat_template.jinja"])
def test_every_file_that_is_read_identifies_a_given_model(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    given = {"models": {"inception": {"source": "path", "path": str(tmp_path)}}}
    seen = set()
    for content in ("one", "two"):
        (tmp_path / name).write_text(content)
        study = small(given)
        seen.add((stages.model(study, "inception")["hash"], stages.reference(study)["hash"]))
    assert len({model for model, _ in seen}) == len({reference for _, reference in seen}) == 2


def test_a_folder_with_texts_only_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("weights are elsewhere")
    given = {"models": {"sd-vae-mse": {"source": "path", "path": str(tmp_path)}}}
    with pytest.raises(UserError, match="holds no model"):
        stages.model(load_study("nano", given), "sd-vae-mse")


def test_an_empty_models_folder_is_refused(tmp_path):
    given = {"models": {"sd-vae-mse": {"source": "path", "path": str(tmp_path)}}}
    with pytest.raises(UserError, match="holds no model"):
        stages.model(load_study("nano", given), "sd-vae-mse")


def test_seeds_come_from_names_and_fit_a_signed_integer():
    seeds = [seed_for(2026, "noise", name, i) for name in ("jit", "dinov2-b") for i in range(500)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_for(1, "a", 23) != seed_for(1, "a2", 3)
    assert seed_for(2026, "sample", 0) == 7059809419744660235  # files made before stay valid
