"""Several trainings per method: what they share, what differs, and the table of their scores."""

from __future__ import annotations

from pathlib import Path

import pytest
from measured import write_metric

from nanogen.cli import main
from nanogen.config import load_run, load_study, stages
from nanogen.config.paths import Paths
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.report.finished_tables import study_tables
from nanogen.report.rows import read_rows

NAMES = ["sd-vae-mse", "sd-vae-mse.seed2", "sd-vae-mse.seed3"]
SEEDS = load_study("nano-seeds")


def test_a_further_training_differs_in_name_title_and_seed_only():
    first, second = (load_run(SEEDS, name, "t2i") for name in NAMES[:2])
    assert (second.title, second.method) == ("SD-VAE-MSE, seed 2", "sd-vae-mse.seed2")
    assert second.seed == seed_for(SEEDS.seed, "replicate", 2) != first.seed == SEEDS.seed
    again = {"method": first.method, "title": first.title, "seed": first.seed}
    assert second.model_copy(update=again) == first


def test_trainings_and_samples_differ_and_what_they_read_does_not():
    trained = [stages.train(SEEDS, name, "t2i") for name in NAMES]
    assert len({stage["hash"] for stage in trained}) == len({stage["seed"] for stage in trained}) == 3
    assert all(stage["expects"] == trained[0]["expects"] for stage in trained)
    drawn = [stages.sample(SEEDS, name, "t2i", "cfg") for name in NAMES]
    assert len({stage["seed"] for stage in drawn}) == 3
    for shared in ("tokenizer", "prompts", "text"):
        assert len({stage["expects"][shared] for stage in drawn}) == 1


def test_the_first_training_is_the_one_of_a_study_without_seeds():
    alone = load_study("nano-seeds", {"seeds": 1})
    assert alone.trainings == alone.methods
    for method in alone.methods:
        assert stages.train(alone, method, "t2i") == stages.train(SEEDS, method, "t2i")
        assert stages.geneval(alone, method, "cfg") == stages.geneval(SEEDS, method, "cfg")


def test_a_further_seed_repeats_no_training():
    more = load_study("nano-seeds", {"seeds": 4})
    for name in NAMES:
        assert stages.train(more, name, "imagenet") == stages.train(SEEDS, name, "imagenet")


def test_names_and_numbers_that_there_are_not_are_refused():
    with pytest.raises(UserError, match=r"no training 'sd-vae-mse.seed9'.*sd-vae-mse.seed3; set seeds"):
        load_run(SEEDS, "sd-vae-mse.seed9", "t2i")
    with pytest.raises(UserError, match=r"unknown method 'sd-vae-mse.seed1'"):
        load_run(SEEDS, "sd-vae-mse.seed1", "t2i")
    with pytest.raises(UserError, match="'seeds' = 0"):
        load_study("nano", {"seeds": 0})
    with pytest.raises(UserError, match=r"report\.reproduction"):
        load_study("nano-table1", {"seeds": 2})


# -------------------------------------------------------------------------------- the tables


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """GenEval, DPG-Bench and GenAI-Bench of three trainings, below an empty working directory."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "{study: mine, extends: nano-seeds, methods: [sd-vae-mse], tasks: [t2i], "
        "evaluation: {simpleeval: null}, overrides: {tasks: {t2i: {evaluation: {simpleeval: null}}}}}\n"
    )
    study = load_study("mine.yaml")
    for name, score in zip(NAMES, (0.2, 0.3, 0.7), strict=True):
        key = ("t2i", name, "cfg")
        values = {"geneval": score, "colors": score / 2, "chance": 0.1}
        stage = stages.geneval(study, name, "cfg")
        write_metric(Paths(study), stage, (*key, "geneval"), values)
        stage = stages.question_scores(study, name, "cfg")
        for metric, column in (("dpg", "dpg_bench"), ("genai", "genai_bench")):
            values = {column: score, f"chance_{column}": 0.1}
            write_metric(Paths(study), stage, (*key, metric), values)
    return study


def test_the_table_has_mean_deviation_and_range_of_each_score(scored):
    assert main(["table", "seeds", "--study", "mine.yaml", "--output-prefix", "seeds"]) == 0
    rows = {row["metric"]: row for row in read_rows("seeds.csv")}
    assert list(rows) == ["geneval", "colors", "dpg_bench", "genai_bench"]  # only existing tags
    row = rows["geneval"]
    assert (row["method"], row["seeds"], row["minimum"], row["maximum"]) == ("sd-vae-mse", 3, 0.2, 0.7)
    assert row["mean"] == pytest.approx(0.4)
    assert row["deviation"] == pytest.approx(0.07**0.5)  # (0.04 + 0.01 + 0.09) / 2
    assert row["mean_high"] == pytest.approx(0.4 + 4.302653 * (0.07 / 3) ** 0.5)  # t with 2 degrees
    shown = Path("seeds.md").read_text(encoding="utf-8")
    assert "| SD-VAE-MSE | GenEval ↑ | 3 | 0.400 | -0.257 | 1.057 | 0.265 | 0.200 | 0.700 |" in shown
    assert Path("seeds.tex").exists()


def test_a_training_that_is_not_measured_is_named(scored, capsys):
    Path(Paths(scored).metric(NAMES[2], "t2i", "cfg", "dpg")).unlink()
    assert main(["table", "seeds", "--study", "mine.yaml", "--output-prefix", "seeds"]) == 2
    assert "dpg of sd-vae-mse.seed3 on t2i (cfg) has not been measured" in capsys.readouterr().err


def test_the_table_of_a_study_of_single_trainings_is_refused(capsys):
    assert main(["table", "seeds", "--study", "nano", "--output-prefix", "seeds"]) == 2
    assert "trains each method once; set seeds" in capsys.readouterr().err


def test_what_compares_methods_reads_the_first_training_of_each(scored, tmp_path):
    path = tmp_path / "table3.csv"
    lines = [f"{name},{name},vae,0.5" for name in (*NAMES, "meanflow-nfe1", "meanflow.seed2-nfe1")]
    path.write_text("\n".join(["method,name,family,geneval", *lines, ""]))
    rows = study_tables(scored, ["table3"], [path], "this")["table3"]
    assert [row["method"] for row in rows] == ["sd-vae-mse", "meanflow-nfe1"]
