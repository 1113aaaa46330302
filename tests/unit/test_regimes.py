"""Training on both tasks compared: distances of curves that are alike, scaled or of other lengths."""

import csv
import json

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nanogen.cli import main
from nanogen.config import load_study
from nanogen.config.paths import Paths
from nanogen.report.regimes import figure
from nanogen.report.style import default
from nanogen.report.training_times import curve_path


def _curve(method, task, steps, scale=1.0, **more):
    path = curve_path(Paths(load_study("smoke")), method, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(1, 21):
        share = i / 20
        values = {"loss": scale * (2 - share), "grad_norm": 1.0, "learning_rate": 1e-3 * (1.1 - share)}
        lines.append(
            {"step": steps * i // 20, **values, "seconds": 1.0, "images_per_second": 1.0, **more}
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def distances(tmp_path, monkeypatch):
    """The table of a study: DINOv2-B trains alike but longer, SD-VAE-MSE with twice the loss."""
    monkeypatch.chdir(tmp_path)
    _curve("dinov2-b", "imagenet", 100, update=0.01)
    _curve("dinov2-b", "t2i", 400, update=0.01)
    _curve("sd-vae-mse", "imagenet", 100, update=0.01)
    _curve("sd-vae-mse", "t2i", 100, scale=2.0)
    _curve("jit", "imagenet", 100)  # and JiT on one task only
    assert main(["table", "regimes", "--study", "smoke", "--output-prefix", "regimes"]) == 0
    with open("regimes.csv") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def test_equal_regimes_of_other_lengths_have_distance_one(distances):
    row = distances["dinov2-b"]
    quantities = ("loss", "grad_norm", "learning_rate", "update")
    assert [float(row[q]) for q in quantities] == pytest.approx([1.0] * 4, abs=1e-6)


def test_twice_the_loss_is_a_distance_of_two_and_an_unlogged_quantity_is_none(distances):
    row = distances["sd-vae-mse"]
    assert float(row["loss"]) == pytest.approx(2.0)
    assert float(row["grad_norm"]) == pytest.approx(1.0)
    assert row["update"] == ""
    assert set(distances) == {"dinov2-b", "sd-vae-mse"}


def test_the_figure_says_the_distances(distances, capsys):
    assert main(["figure", "regimes", "--study", "smoke", "--output-prefix", "f"]) == 0
    assert "SD-VAE-MSE: Loss 2.00, Gradient norm 1.00, Learning rate 1.00" in capsys.readouterr().out


def test_the_ticks_of_the_figure_are_numbers(distances):
    """The style prints dollar signs literally, so ticks must not be written as mathematics."""
    drawn = figure(load_study("smoke"), [], default("regimes"))[0]
    FigureCanvasAgg(drawn).draw()
    ticks = [label.get_text() for axes in drawn.axes for label in axes.get_yticklabels()]
    assert "1" in ticks
    assert "0.001" in ticks
    assert not [tick for tick in ticks if "$" in tick]


def test_without_curves_of_both_tasks_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["table", "regimes", "--study", "smoke", "--output-prefix", "regimes"]) == 2
    assert "no method has training curves on both tasks" in capsys.readouterr().err
