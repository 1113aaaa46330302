"""The training benchmark runs to its end, and its baseline computes the same losses as the package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nanogen.backbones import build
from nanogen.objectives import objective_of
from nanogen.stage2.batches import Batches

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's own modules, from its script's folder."""
    monkeypatch.syspath_prepend(str(BENCH))
    import plain
    import training_cases
    import training_data

    return plain, training_cases, training_data


@pytest.mark.parametrize("condition", ["labels", "text"])
def test_the_baseline_has_the_same_losses(modules, condition):
    plain, cases, data = modules
    stage = cases.stage_of(cases.Case("tiny", condition))
    ours, cpu = build(stage), torch.device("cpu")
    plain.randomise(ours)
    other = plain.plain_network(stage, cpu)
    batch = Batches(data.Data(stage, cpu), stage).at(0)
    objective = objective_of(stage)
    losses = [objective(model, batch, model.conditioner)["loss"] for model in (ours, other)]
    torch.testing.assert_close(*losses)


@pytest.mark.slow
def test_the_gpu_suite_runs_where_there_is_none(tmp_path):
    """Without a GPU this checks that the suite would run on one; with a GPU, it is measured."""
    output = tmp_path / "results.json"
    command = [sys.executable, BENCH / "training.py", "--suite", "gpu", "--quick", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert all(line.endswith("right") for line in found["checks"])
    assert len(found["checks"]) == 6
    kinds = {(row["work"], row["source"]) for row in found["rows"]}
    assert kinds >= {("flow matching", "online"), ("meanflow", "cache"), ("sampling", "cache")}
    assert found["torch"] == torch.__version__


@pytest.mark.slow
def test_the_growth_of_every_part_is_measured(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- growth: begin -->\n<!-- growth: end -->\nafter\n")
    command = [sys.executable, BENCH / "growth.py", "--rounds", "1", "--most", "1", "--markdown", page]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 8  # the head and seven parts
