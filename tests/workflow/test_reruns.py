"""Which jobs of a finished study a change reruns, and which it leaves alone.

No job runs: every output is a stub, and `snakemake --touch --forceall` writes the same record of
parameters, inputs and code as if the jobs had run.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from nanogen.config import load_study, stages
from nanogen.data import hdf5
from nanogen.files import label

REPORTS = {
    "measured_table", "correlation_tables", "measured_figure", "explorer_page", "report_page",
    "submit", "leaderboard_table",
}  # fmt: skip
STUDY = ("--config", "study=nano")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(working_copy, tmp_path_factory):
    """A working copy whose default study is finished, as far as Snakemake knows."""
    copy = working_copy(tmp_path_factory.mktemp("finished"))
    for job in copy.plan("all", *STUDY).jobs:
        for path in job.outputs:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text("{}")
    touched = copy.snakemake("all", "--touch", "--forceall", "--cores", "8", *STUDY)
    assert touched.code == 0, touched.text[-2000:]
    return copy


def changed(finished, **keys):
    """Plan the study with these keys changed on the command line."""
    options = [f"{key}={json.dumps(value)}" for key, value in keys.items()]
    return finished.plan("all", *STUDY, *options)


def test_a_finished_study_has_nothing_to_do(finished):
    plan = finished.plan("all", *STUDY)
    assert "Nothing to be done" in plan.text
    assert "missing provenance" not in plan.text


def test_one_figures_style_concerns_that_figure_only(finished):
    plan = changed(finished, report={"figures": {"figure1": {"width": 6}}})
    assert plan.rules == {"published_figure": 1, "measured_figure": 1, "report_page": 1}
    assert {job["figure"] for job in plan.of("published_figure", "measured_figure")} == {"figure1"}


def test_one_methods_steps_concern_its_training_and_what_follows(finished):
    plan = changed(finished, overrides={"methods": {"jit": {"training": {"steps": 901}}}})
    assert plan.rules["train"] == 2
    assert {job["method"] for job in plan.jobs if job["method"]} == {"jit"}
    assert set(plan.rules) == REPORTS | {
        "train", "sample", "score_images", "score_text", "sample_grid",
    }  # fmt: skip


@pytest.mark.slow
def test_guidance_concerns_samples_but_no_training(finished):
    plan = changed(finished, overrides={"methods": {"jit": {"sampling": {"guidance_scale": 7.0}}}})
    sampled = {(job["task"], job["method"], job["variant"]) for job in plan.of("sample")}
    assert sampled == {("imagenet", "jit", "cfg"), ("t2i", "jit", "cfg")}
    assert not {"train", "encode_latents", "make_data", "reference"} & set(plan.rules)


@pytest.mark.slow
def test_one_tokenizers_training_concerns_its_own_methods(finished):
    plan = changed(finished, models={"sd-vae-mse": {"training": {"steps": 3}}})
    assert {job["model"] for job in plan.of("train_tokenizer", "build_model")} == {"sd-vae-mse"}
    assert {job["method"] for job in plan.of("train")} == {"sd-vae-mse", "meanflow"}
    assert {job["tokenizer"] for job in plan.of("reconstruct")} == {"sd-vae-mse"}
    assert not {"make_data", "encode_text", "reference"} & set(plan.rules)


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        {"training": {"checkpoint_every": 7, "log_every": 3, "sharding": "fsdp", "micro_batch": 8}},
        {"training": {"trackers": ["tensorboard"]}},
        {"sampling": {"batch_size": 10}},
    ],
)
def test_how_it_is_run_concerns_no_result(finished, keys):
    plan = changed(finished, **keys)
    assert set(plan.rules) <= REPORTS  # a report's commands receive the whole study


def test_a_deleted_sample_file_plans_no_training(finished, tmp_path):
    name = "results/nano/runs/imagenet/jit/cfg/samples.h5"
    (finished / name).rename(tmp_path / "samples.h5")
    try:
        plan = finished.plan("all", name, *STUDY)
    finally:
        (tmp_path / "samples.h5").rename(finished / name)
    sampled = [(job["task"], job["method"], job["variant"]) for job in plan.of("sample")]
    assert sampled == [("imagenet", "jit", "cfg")]
    assert {job["method"] for job in plan.jobs if job["method"]} == {"jit"}
    assert not {"train", "make_data", "encode_latents", "build_model"} & set(plan.rules)
    # Table 2 shows these samples, and the claims are the only other table that reads it.
    assert {job["table"] for job in plan.of("measured_table")} == {"table2", "claims"}


@pytest.fixture(scope="module")
def cache_made_elsewhere(tmp_path_factory):
    """Latent caches of both tasks and their tokenizer's folder, outside the working copy."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("config.json", "nanogen.json"):
        (folder / name).write_text('{"hash": "0123456789abcdef"}')
    given = {t: {"file": str(folder / f"{t}.h5"), "tokenizer": str(folder)} for t in ("imagenet", "t2i")}
    study = load_study("nano", {"latents": {t: {"rae-dinov2-b": one} for t, one in given.items()}})
    for task, one in given.items():
        hash_ = stages.latents(study, task, "rae-dinov2-b")["hash"]
        header = label("latents", 1, hash_, tokenizer="rae-dinov2-b", tokenizer_hash="0123456789abcdef")
        with hdf5.create(one["file"], header) as file:
            file["latents"], file["labels"] = np.zeros((2, 8, 4, 4), np.float16), np.zeros(2, np.int64)
    return given


def with_caches(fresh, caches: dict, *tasks: str):
    given = {task: {"rae-dinov2-b": caches[task]} for task in tasks}
    return fresh.plan("all", *STUDY, f"latents={json.dumps(given)}")


@pytest.mark.slow
def test_caches_given_by_path_remove_encoding_and_tokenizer_training(fresh, cache_made_elsewhere):
    plan = with_caches(fresh, cache_made_elsewhere, "imagenet", "t2i")
    assert {job["tokenizer"] for job in plan.of("encode_latents")} == {"sd-vae-mse"}
    assert {job["model"] for job in plan.of("train_tokenizer")} == {"sd-vae-mse"}
    trainings = [job for job in plan.of("train") if job["method"] == "dinov2-b"]
    assert len(trainings) == 2
    assert all(cache_made_elsewhere[job["task"]]["file"] in job.inputs for job in trainings)


def test_a_cache_of_other_images_is_refused_before_anything_is_run(fresh, cache_made_elsewhere):
    other = {"imagenet": {"rae-dinov2-b": cache_made_elsewhere["t2i"]}}
    outcome = fresh.dry_run("all", *STUDY, f"latents={json.dumps(other)}")
    assert outcome.code != 0
    assert f"{cache_made_elsewhere['t2i']['file']} was made by another configuration" in outcome.text
    assert "Traceback" not in outcome.text


@pytest.mark.slow
def test_one_tasks_cache_still_removes_its_own_encoding(fresh, cache_made_elsewhere):
    plan = with_caches(fresh, cache_made_elsewhere, "imagenet")
    encoded = {(job["task"], job["tokenizer"]) for job in plan.of("encode_latents")}
    assert encoded == {("t2i", "rae-dinov2-b"), ("imagenet", "sd-vae-mse"), ("t2i", "sd-vae-mse")}
    assert {job["model"] for job in plan.of("train_tokenizer")} == {"sd-vae-mse"}
