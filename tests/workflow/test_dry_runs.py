"""Every study and every named target can be planned and plans the expected jobs."""

from __future__ import annotations

import numpy as np
import pytest

from nanogen.config import load_study

EXTRACTORS = ("inception", "convnext", "dinov2")
NAMED = {
    "table1", "table2", "table3", "table4", "figure1", "figure2", "figure3", "figure4", "figure5",
    "models", "caches", "correlations", "claims", "regimes", "tokenizers", "overview",
    "report", "explorer", "leaderboard", "docs",
}  # fmt: skip
# Number of jobs per rule. THREE: a study with an RAE, a VAE and a pixel method on both tasks. FOUR: the
# default study, which adds MeanFlow (sample sets with one and two steps, guided only) and has two
# extractors fewer. TEN: ten methods, where MeanFlow without guidance is a separate training.
THREE = {
    "make_data": 6, "make_prompts": 1, "make_questions": 1, "build_model": 10, "train_tokenizer": 2,
    "encode_latents": 4, "encode_text": 1, "encode_prompts": 1, "train": 6, "sample": 14,
    "reference": 1, "score_images": 9, "score_text": 3, "reconstruct": 2,
    "measured_table": 7, "published_tables": 1, "correlation_tables": 1,
    "measured_figure": 8, "published_figure": 4,
    "sample_grid": 9, "explorer_page": 1, "report_page": 1, "submit": 1, "leaderboard_table": 1,
    "lengths_figure": 1,
}  # fmt: skip
FOUR = THREE | {
    "build_model": 8, "train": 8, "sample": 19, "score_images": 12, "score_text": 5,
    "sample_grid": 13,
}  # fmt: skip
TEN = FOUR | {
    "build_model": 11, "train_tokenizer": 5, "tune_tokenizer": 1, "encode_latents": 10,
    "encode_features": 2, "train": 21, "sample": 45,
    "score_images": 32, "score_text": 11, "reconstruct": 5,
    "sample_grid": 33,
}  # fmt: skip


OF_NANO = ("--config", "study=nano")


@pytest.mark.parametrize(
    ("study", "rules"),
    [
        ("nano", FOUR),
        pytest.param("nano-ten", TEN, marks=pytest.mark.slow),
        pytest.param("smoke", THREE, marks=pytest.mark.slow),
    ],
)
def test_a_small_study_is_planned_whole_and_fetches_nothing(fresh, study, rules):
    plan = fresh.plan("all", "--config", f"study={study}")
    assert plan.rules == rules
    assert {"dinov2-b", "qwen3", "inception", "convnext", "detector", "vqa", "weak-scorer"} <= {
        job["model"] for job in plan.of("build_model")
    }
    assert {"rae-dinov2-b", "sd-vae-mse"} <= {job["model"] for job in plan.of("train_tokenizer")}
    assert all(path.startswith(f"results/{study}/") for job in plan.jobs for path in job.outputs)
    assert "To fetch" not in plan.text


@pytest.mark.slow
def test_all_is_what_snakemake_makes_without_a_target(fresh):
    assert fresh.plan().rules == FOUR


@pytest.mark.slow
def test_a_folder_of_photographs_is_planned_by_the_same_graph(fresh, photographs):
    options = ("--configfile", "config/studies/folder.yaml", "--config", f"data_root={photographs}")
    plan = fresh.plan("all", *options)
    assert plan.rules["train"] == 6
    assert plan.rules["measured_table"] == 7
    assert all(path.startswith("results/folder/") for job in plan.jobs for path in job.outputs)


@pytest.fixture(scope="module")
def paper(fresh):
    cached = ("--config", "cache=always", "text=cache")
    return fresh.plan("all", "--configfile", "config/studies/paper.yaml", *cached)


@pytest.mark.slow
def test_without_a_setting_the_papers_study_caches_what_its_budget_holds(fresh):
    plan = fresh.plan("models", "--configfile", "config/studies/paper.yaml")
    assert {job["task"] for job in plan.of("encode_latents")} == {"imagenet"}
    assert plan.rules["encode_latents"] == 8
    assert "encode_text" not in plan.rules
    (job,) = [j for j in plan.of("train") if (j["method"], j["task"]) == ("sd-vae-mse", "t2i")]
    networks = {f"results/paper/models/{name}/nanogen.json" for name in ("sd-vae-mse", "qwen3")}
    assert networks | {"results/paper/data/t2i/train.h5"} == set(job.inputs)


@pytest.mark.slow
def test_the_papers_study_trains_25_methods_on_both_tasks(paper):
    trained = {(job["method"], job["task"]) for job in paper.of("train")}
    assert len(trained) == 50
    assert paper.rules["train"] == 51  # MeanFlow without guidance has weights of its own
    assert len({method for method, _ in trained}) == 25
    assert {task for _, task in trained} == {"imagenet", "t2i"}
    assert ("jit", "t2i") in trained
    # Methods that share a tokenizer share its cache.
    caches = {(job["tokenizer"], job["task"]) for job in paper.of("encode_latents")}
    assert len(caches) == paper.rules["encode_latents"] == 34
    assert not {job["model"] for job in paper.of("build_model")}


@pytest.mark.slow
def test_the_papers_study_measures_every_tokenizer_once(paper):
    tokenizers = {job["tokenizer"] for job in paper.of("encode_latents")}
    assert {job["tokenizer"] for job in paper.of("reconstruct")} == tokenizers
    assert paper.rules["reconstruct"] == len(tokenizers) == 17
    networks = {f"results/paper/models/{name}/nanogen.json" for name in ("inception", "lpips")}
    assert all(networks < set(job.inputs) for job in paper.of("reconstruct"))


@pytest.mark.slow
def test_one_and_two_steps_of_meanflow_share_a_training_but_guidance_has_its_own(paper):
    def jobs(rule: str, wildcard: str, task: str) -> list[str | None]:
        found = [job for job in paper.of(rule) if job["method"] == "meanflow" and job["task"] == task]
        return sorted(job[wildcard] or "" for job in found)

    assert jobs("train", "weights", "imagenet") == ["", "-nocfg"]
    assert jobs("train", "weights", "t2i") == [""]
    assert jobs("sample", "variant", "t2i") == ["cfg", "cfg-nfe2"]
    drawn = [job for job in paper.of("sample") if job["method"] == "meanflow"]
    inputs = {job["variant"]: job.inputs[0] for job in drawn if job["task"] == "imagenet"}
    folder = "results/paper/runs/imagenet/meanflow"
    assert {variant: path for variant, path in inputs.items() if variant != "untrained"} == {
        "cfg": f"{folder}/model/nanogen.json",
        "cfg-nfe2": f"{folder}/model/nanogen.json",
        "nocfg": f"{folder}/model-nocfg/nanogen.json",
        "nocfg-nfe2": f"{folder}/model-nocfg/nanogen.json",
    }


@pytest.mark.slow
def test_the_papers_study_says_what_it_fetches_and_stores(paper):
    assert "To fetch (" in paper.text
    assert "facebook/dinov2-with-registers-base for dinov2-b: 346 MB" in paper.text
    assert "Qwen/Qwen3-0.6B for qwen3" in paper.text
    assert "Gated: accept the terms on the page of each and set HF_TOKEN" in paper.text
    assert "data set diffusion-bench/imagenet: 33279 MB" in paper.text
    # 1281167 images x 768 x 16 x 16 values of two bytes
    assert "latents/imagenet/rae-dinov2-b: 504 GB" in paper.text
    fetched = {job["model"] for job in paper.of("fetch_model")}
    assert {"dinov2-b", "qwen3", "inception", "detector", "color-classifier"} <= fetched


@pytest.mark.slow
def test_the_papers_judges_are_fetched_and_asked_in_the_one_job_that_scores(fresh):
    options = ("methods=[jit]",)
    plan = fresh.plan("table3", "--configfile", "config/studies/paper.yaml", "--config", *options)
    assert plan.rules["make_questions"] == plan.rules["score_text"] == 1
    assert [file for job in plan.of("score_text") for file in job.inputs if "questions" in file]
    judges = {"detector", "color-classifier", "weak-scorer", "mplug", "clip-flant5"}
    assert {job["model"] for job in plan.of("fetch_model")} == {"qwen3", *judges}


@pytest.mark.slow
def test_public_models_are_fetched_drawn_and_scored_but_not_trained(fresh):
    paper = ("--configfile", "config/studies/paper.yaml", "--config")
    plan = fresh.plan("table3", *paper, "methods=[jit]", "public=[flux-1]")
    assert [job["method"] for job in plan.of("train")] == ["jit"]
    drawn = {job["method"]: job.inputs for job in plan.of("sample")}
    root = "results/paper"
    assert drawn["flux-1"] == [f"{root}/models/flux-1/nanogen.json", f"{root}/prompts/geneval.json"]
    assert {job["method"] for job in plan.of("score_text")} == {"jit", "flux-1"}
    judges = {"detector", "color-classifier", "weak-scorer", "mplug", "clip-flant5"}
    assert {job["model"] for job in plan.of("fetch_model")} == {"flux-1", "qwen3", *judges}
    assert "black-forest-labs/FLUX.1-dev for flux-1: 33700 MB" in plan.text
    assert f"{root}/runs/t2i/flux-1/cfg/metrics/geneval.json" in plan.of("measured_table")[0].inputs


@pytest.mark.slow
def test_a_sweep_measures_small_sets_first_and_one_whole_set_then(fresh):
    keys = ("methods=[jit, meanflow]", "sweep={scales: [1.0, 2.5], images: 40}")
    plan = fresh.plan("sweep", "--config", *keys)
    assert plan.rules == {
        **{"make_data": 2, "build_model": 3, "reference": 1, "train": 1, "sample": 3},
        **{"score_images": 3, "choose_guidance": 1, "measured_table": 1, "measured_figure": 1},
    }
    assert {job["method"] for job in plan.of("sample")} == {"jit"}  # MeanFlow is guided in training
    inputs = {job["variant"]: job.inputs for job in plan.of("sample")}
    run = "results/nano/runs/imagenet/jit"
    choice = f"{run}/guidance.json"
    assert {variant for variant, paths in inputs.items() if choice in paths} == {"best"}
    metrics = [
        f"results/nano/runs/imagenet/jit/sweep-{scale}/metrics/fid.json" for scale in ("1", "2.5")
    ]
    assert plan.of("choose_guidance")[0].inputs == metrics


@pytest.mark.slow
def test_a_study_without_a_sweep_says_how_to_set_one(fresh):
    outcome = fresh.dry_run("sweep")
    assert outcome.code != 0
    assert "study nano sweeps no guidance; set its key sweep" in outcome.text


@pytest.mark.slow
def test_every_named_target_is_there(fresh):
    whole = fresh.plan(*sorted(NAMED), *OF_NANO)
    assert whole.rules == {**FOUR, "site": 1}


TARGETS = [
    ("table1", {"published_tables": 1}, {"train", "make_data"}),
    ("table2", {"train": 4, "measured_table": 1}, {"score_text"}),
    ("table3", {"train": 4, "score_text": 5}, {"reference"}),
    ("figure1", {"train": 8, "measured_table": 2}, {"sample_grid"}),
    ("figure3", {"train": 2, "sample": 4, "lengths_figure": 1}, {"score_text", "sample_grid"}),
    ("figure4", {"train": 8, "measured_table": 3}, {"sample_grid"}),
    ("figure5", {"train": 7, "measured_table": 2}, {"sample_grid"}),
    (
        "leaderboard",
        {"train": 8, "submit": 1, "leaderboard_table": 1},
        {"measured_table", "sample_grid"},
    ),
    (
        "bundle",
        {"lengths_figure": 1, "archive": 1, "numbers": 1, "sample_grid": 13},
        {"explorer_page", "report_page"},
    ),
    ("tokenizers", {"reconstruct": 2, "train_tokenizer": 2}, {"train", "encode_latents"}),
    ("figure2", {"train": 8, "measured_table": 1, "measured_figure": 1}, {"sample"}),
    ("regimes", {"train": 8, "measured_table": 1, "measured_figure": 1}, {"sample"}),
    (
        "correlations",
        {"measured_table": 3, "correlation_tables": 1, "published_tables": 1},
        {"sample_grid"},
    ),
    ("claims", {"measured_table": 5, "published_tables": 1}, {"measured_figure"}),
    ("models", {"train": 8}, {"sample", "reference", "measured_table"}),
    ("caches", {"encode_latents": 4, "encode_text": 1, "train_tokenizer": 2}, {"train", "sample"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "planned", "absent"), TARGETS)
def test_a_target_plans_what_it_needs_only(fresh, target, planned, absent):
    rules = fresh.plan(target, *OF_NANO).rules
    assert {rule: rules[rule] for rule in planned} == planned
    assert not absent & set(rules)


@pytest.mark.slow
def test_a_study_of_one_task_has_claims_and_times_but_no_correlations_of_its_own(fresh):
    plan = fresh.plan("all", *OF_NANO, "tasks=[imagenet]")
    made = {job["table"]: job.inputs for job in plan.of("measured_table")}
    assert made.keys() == {"table2", "table4", "times", "claims", "tokenizers"}
    assert {job["figure"] for job in plan.of("measured_figure")} == {"overview", "figure2", "tokenizers"}
    assert "results/nano/prompts/geneval.json" not in made["claims"]


@pytest.mark.slow
def test_table_4_needs_of_text_to_image_only_the_images_that_tokenizers_learn_from(fresh):
    plan = fresh.plan("table4", *OF_NANO)
    assert (plan.rules["train"], plan.rules["measured_table"]) == (3, 1)
    assert {job.rule for job in plan.jobs if job["task"] == "t2i"} == {"make_data"}
    assert not {"encode_text", "encode_prompts", "make_prompts", "score_text"} & set(plan.rules)
    models = {job["model"] for job in plan.of("build_model")}
    assert models == {"dinov2-b", *EXTRACTORS}
    readers = {job.rule for job in plan.jobs if [path for path in job.inputs if "t2i" in path]}
    assert readers == {"train_tokenizer"}


@pytest.mark.slow
def test_one_method_needs_its_own_tokenizer_only(fresh):
    plan = fresh.plan("all", "--config", "methods=[jit]")
    assert plan.rules["train"] == 2
    assert not {"train_tokenizer", "encode_latents", "reconstruct"} & set(plan.rules)
    assert {job["method"] for job in plan.of("train", "sample")} == {"jit"}


@pytest.mark.slow
def test_one_task_needs_nothing_of_the_other(fresh):
    plan = fresh.plan("all", *OF_NANO, "tasks=[t2i]")
    assert plan.rules["train"] == 4
    assert not {"reference", "score_images"} & set(plan.rules)
    made = {job["table"] for job in plan.of("measured_table")}
    assert made == {"table3", "times", "claims", "tokenizers"}


@pytest.mark.slow
def test_the_cluster_profile_plans_the_same_with_its_resources(fresh):
    plan = fresh.plan("--profile", "slurm", "all", *OF_NANO)
    assert plan.rules == FOUR
    trainings = plan.text.split("rule train:")[1:]
    assert len(trainings) == FOUR["train"]
    assert all("nodes=4" in block and "processes=8" in block for block in trainings)
    assert all("gres=gpu:8" in block for block in trainings)


@pytest.mark.slow
def test_the_cluster_profile_plans_the_papers_study(fresh):
    plan = fresh.plan("all", "--profile", "slurm", "--configfile", "config/studies/paper.yaml")
    assert plan.rules["train"] == 51


@pytest.mark.slow
def test_what_evaluates_a_training_is_made_before_it(fresh):
    plan = fresh.plan("all", *OF_NANO, "training={evaluate_every: 100}")
    assert plan.rules == FOUR
    needed = {
        "imagenet": {"reference/statistics.h5", "models/inception/nanogen.json"},
        "t2i": {"prompts/geneval.json", "text/prompts/qwen3.h5", "models/detector/nanogen.json"},
    }
    for job in plan.of("train"):
        assert {f"results/nano/{name}" for name in needed[job["task"]]} < set(job.inputs)


@pytest.mark.slow
def test_a_vae_is_tuned_from_the_one_that_it_is_compared_with(fresh):
    plan = fresh.plan("all", "--config", "study=nano-e2e")
    (tuning,) = plan.of("tune_tokenizer")
    cards = {f"results/nano-e2e/models/{name}/nanogen.json" for name in ("flux1-vae", "dinov2-b")}
    assert cards < set(tuning.inputs)
    assert {job["method"] for job in plan.of("train")} == {"flux1-vae", "e2e-flux1-vae"}


@pytest.mark.slow
def test_a_measured_table_1_is_told_that_it_is_one(fresh):
    plan = fresh.plan("table1", "--config", "study=nano-table1")
    assert plan.rules["train"] == 6
    files = (fresh / ".snakemake/nanogen").glob("study-*.yaml")
    studies = [load_study(str(file)) for file in files]
    assert [s.report.reproduction for s in studies if s.study == "nano-table1"] == [True]


@pytest.mark.slow
def test_latents_are_encoded_in_as_many_shards_as_asked_for_and_joined(fresh):
    plan = fresh.plan("caches", *OF_NANO, "latent_shards=3", "tasks=[imagenet]")
    encoded = [path for job in plan.of("encode_latents") for path in job.outputs]
    folder = "results/nano/latents/imagenet"
    names = ("rae-dinov2-b", "sd-vae-mse")
    assert sorted(encoded) == [f"{folder}/{name}/{k}-of-3.h5" for name in names for k in (1, 2, 3)]
    joined = {job.outputs[0]: set(job.inputs) for job in plan.of("join_latents")}
    assert joined == {
        f"{folder}/{name}.h5": {f"{folder}/{name}/{k}-of-3.h5" for k in (1, 2, 3)} for name in names
    }


@pytest.mark.slow
def test_pictures_are_imported_in_as_many_jobs_as_asked_for_and_joined(fresh, photographs):
    options = ("--configfile", "config/studies/folder.yaml", "--config", f"data_root={photographs}")
    plan = fresh.plan("table4", *options, "data_shards=3")
    folder = "results/folder/data/imagenet"
    shares = {f"{folder}/train/{k}-of-3.json" for k in (1, 2, 3)}
    imported = [job for job in plan.of("import_share") if job["task"] == "imagenet"]
    assert {path for job in imported for path in job.outputs} == shares
    made = {job.outputs[0]: set(job.inputs) for job in plan.of("make_data")}
    assert (made[f"{folder}/train.h5"], made[f"{folder}/val.h5"]) == (shares, set())
    assert "import_share" not in fresh.plan("caches", *OF_NANO, "data_shards=3").rules  # drawn images


@pytest.mark.slow
def test_text_is_encoded_in_as_many_shards_as_asked_for_and_joined(fresh):
    plan = fresh.plan("caches", *OF_NANO, "text_shards=2", "tasks=[t2i]")
    folder = "results/nano/text/t2i"
    shards = {f"{folder}/qwen3/{k}-of-2.h5" for k in (1, 2)}
    assert {path for job in plan.of("encode_text") for path in job.outputs} == shards
    (joined,) = plan.of("join_text")
    assert (joined.outputs, set(joined.inputs)) == ([f"{folder}/qwen3.h5"], shards)


@pytest.mark.slow
def test_without_caches_a_training_reads_images_and_tokenizer(fresh):
    plan = fresh.plan("models", *OF_NANO, "cache=never")
    assert "encode_latents" not in plan.rules
    assert "Encoded in every training step instead of cached (cache: never, text: auto):" in plan.text
    (job,) = [j for j in plan.of("train") if (j["method"], j["task"]) == ("sd-vae-mse", "t2i")]
    results = "results/nano"
    needed = {f"{results}/data/t2i/train.h5", f"{results}/models/sd-vae-mse/nanogen.json"}
    assert needed < set(job.inputs)


@pytest.mark.slow
def test_entries_handed_in_stand_on_the_leaderboard(fresh, tmp_path):
    plan = fresh.plan("leaderboard", *OF_NANO, "leaderboard={published: false}")
    (job,) = plan.of("leaderboard_table")
    names = ("dinov2-b", "sd-vae-mse", "jit", "meanflow-nfe1", "meanflow-nfe2")
    own = {f"results/nano/leaderboard/{name}.json" for name in names}
    assert set(job.inputs) == own
    (tmp_path / "theirs.json").write_text("{}")
    plan = fresh.plan("leaderboard", *OF_NANO, f"leaderboard={{entries: {tmp_path}}}")
    (job,) = plan.of("leaderboard_table")
    assert set(job.inputs) == {*own, str(tmp_path / "theirs.json")}


@pytest.mark.slow
def test_a_leaderboard_that_cannot_be_made_is_refused(fresh, tmp_path):
    outcome = fresh.dry_run("leaderboard", *OF_NANO, f"leaderboard={{entries: {tmp_path}}}")
    assert outcome.code != 0
    assert f"leaderboard.entries: {tmp_path} holds no entry (*.json)" in outcome.text
    outcome = fresh.dry_run("leaderboard", "--config", "study=nano-table1")
    assert outcome.code != 0
    assert "study nano-table1 reproduces Table 1" in outcome.text


@pytest.mark.slow
def test_figure_3_needs_a_training_that_keeps_an_average(fresh):
    plan = fresh.plan("figure3", *OF_NANO)
    assert (plan.rules["train"], plan.rules["sample"], plan.rules["lengths_figure"]) == (2, 4, 1)
    assert not {"score_text", "sample_grid"} & set(plan.rules)
    early = {job["method"]: job for job in plan.of("sample") if job["variant"] == "at-1300"}
    assert early.keys() == {"dinov2-b", "sd-vae-mse"}
    for name, job in early.items():
        assert f"results/nano/runs/t2i/{name}/model/kept.safetensors" in job.inputs
    outcome = fresh.dry_run("figure3", "--config", "methods=[jit]")
    assert outcome.code != 0
    assert "no method of study nano keeps the average" in outcome.text
    assert "kept.safetensors" not in fresh.plan("models", "--config", "methods=[jit]").text


@pytest.mark.slow
def test_the_documentation_needs_no_study(fresh):
    assert fresh.plan("docs").rules == {"site": 1}


@pytest.mark.slow
def test_seeds_train_again_on_the_same_tokenizers_and_caches(fresh):
    plan = fresh.plan("seeds", "--config", "study=nano-seeds", "methods=[sd-vae-mse]")
    names = {"sd-vae-mse", "sd-vae-mse.seed2", "sd-vae-mse.seed3"}
    assert {job["method"] for job in plan.of("train")} == names
    assert plan.rules["train"] == 2 * len(names)
    assert {job["method"] for job in plan.of("score_text")} == names
    assert plan.rules["train_tokenizer"] == 1
    assert plan.rules["encode_latents"] == 2
    [table] = plan.of("measured_table")
    assert "results/nano-seeds/tables/seeds.csv" in table.outputs
    read = {file for job in plan.of("train") for file in job.inputs if "/latents/" in file}
    assert len(read) == 2


@pytest.mark.slow
def test_a_run_that_a_study_has_not_is_refused_by_name(fresh):
    file = "results/nano-seeds/runs/t2i/sd-vae-mse.seed9/cfg/samples.h5"
    outcome = fresh.snakemake("-n", file, "--config", "study=nano-seeds")
    assert outcome.code != 0
    assert "study nano-seeds has no run 'sd-vae-mse.seed9' on t2i" in outcome.text
    assert "sd-vae-mse.seed3" in outcome.text


@pytest.mark.slow
def test_one_row_of_the_authors_released_models_is_fetched_drawn_and_scored(fresh):
    study = ("--configfile", "config/studies/released.yaml", "--config", "methods=[flux2-vae]")
    plan = fresh.plan("table2", *study)
    assert plan.rules == {
        "fetch_checkpoint": 1, "fetch_data": 1, "fetch_model": 7, "make_data": 1, "sample": 2,
        "reference": 1, "score_images": 2, "measured_table": 1, "published_tables": 1,
    }  # fmt: skip
    assert [job["split"] for job in plan.of("make_data")] == ["val"]


@pytest.mark.slow
def test_released_models_may_be_measured_on_an_array_of_ones_own(fresh, tmp_path):
    np.savez(tmp_path / "own.npz", np.zeros((2, 256, 256, 3), np.uint8))
    own = f"overrides={{tasks: {{imagenet: {{data: {{root: {tmp_path}, file: own.npz}}}}}}}}"
    study = ("--configfile", "config/studies/released.yaml", "--config", "methods=[flux2-vae]", own)
    plan = fresh.plan("table2", *study)
    assert "fetch_data" not in plan.rules
    assert [job["split"] for job in plan.of("make_data")] == ["val"]
