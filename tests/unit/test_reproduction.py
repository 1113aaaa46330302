"""Table 1: six methods at their own sizes, with the published rows above the measured ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanogen.backbones import parameter_count
from nanogen.cli import main
from nanogen.config import load_run, load_study, stages
from nanogen.config.paths import Paths
from nanogen.config.train_stage import TrainStage
from nanogen.files import label, write_json
from nanogen.report import paper_tables
from nanogen.report.rows import read_rows

OURS = {
    "dinov2-b": 847,
    "e2e-va-vae": 680,
    "e2e-va-vae-repa": 681,
    "pixnerd": 446,
    "jit": 88,
    "pixelgen": 458,
}  # millions of parameters in the paper's Table 1


@pytest.mark.parametrize("method", OURS)
def test_sizes_are_the_tables_to_one_percent(method):
    study = load_study("table1")
    count = parameter_count(TrainStage.from_json(stages.train(study, method, "imagenet"))) / 1e6
    assert count == pytest.approx(OURS[method], rel=0.01)


@pytest.mark.parametrize("method", OURS)
def test_length_steps_and_guidance_are_the_tables(method):
    run = load_run(load_study("table1"), method, "imagenet")
    row = paper_tables.reproduction(run)[1]
    epochs = run.training.steps * run.training.batch_size / run.data.train_images
    assert epochs == pytest.approx(row["epochs"], rel=0.01)
    assert run.sampling.steps == row["nfe"]
    assert run.objective.prediction == row["prediction"]
    assert paper_tables.reproduced_variant(run) == {"yes": "cfg", "no": "nocfg"}[row["guidance"]]


def _measure(study, method: str, fid: float) -> None:
    """Write the files that a run of ``method`` leaves, with invented scores."""
    paths, run = Paths(study), load_run(study, method, "imagenet")
    variant = paper_tables.reproduced_variant(run)
    about = {"method": method, "task": "imagenet", "variant": variant}
    hash_ = stages.distribution(study, method, variant)["hash"]
    for metric, value in (("fid", fid), ("is", 7.0)):
        content = label("metric", 1, hash_, metric=metric, values={metric: value}, protocol="", **about)
        write_json(Path(paths.metric(method, "imagenet", variant, metric)), content)
    card = label("model", 1, stages.train(study, method, "imagenet")["hash"])
    write_json(Path(paths.trained(method, "imagenet")), {**card, "quality": {"parameters": 850_000}})


def test_measured_rows_stand_below_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study("nano-table1", {"methods": ["dinov2-b", "jit"]})
    _measure(study, "dinov2-b", 21.5)
    _measure(study, "jit", 18.25)
    given = ["--given", '{"methods": ["dinov2-b", "jit"]}']
    assert main(["table", "table1", "--study", "nano-table1", *given, "--output-prefix", "t"]) == 0
    rows = read_rows("t.csv")
    assert [row["source"] for row in rows] == ["reported", "reproduced", "nano-table1"] * 2
    assert [row["fid"] for row in rows if row["method"] == "jit"] == [8.62, 5.49, 18.25]
    assert rows[-1]["guidance"] == "yes"
    assert rows[-1]["params"] == 850_000


def test_a_study_of_other_methods_is_told_which_there_are(capsys):
    given = ["--given", '{"methods": ["sdxl-vae"]}']
    assert main(["table", "table1", "--study", "table1", *given, "--output-prefix", "t"]) == 2
    assert "Table 1 has no method sdxl-vae; it has dinov2-b" in capsys.readouterr().err
