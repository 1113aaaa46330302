"""Figure 2: training times from the curves, and files that are not curves."""

import csv
import json

import pytest

from nanogen.cli import main
from nanogen.config import load_study
from nanogen.config.paths import Paths
from nanogen.report.training_times import curve_path, table
from nanogen.training.curve import read_curve


def _curve(path, pace, pause=0.0):
    """Write four intervals of five steps at ``pace`` seconds per step, one of them with a pause."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "step": 5 * i,
            "loss": 1.0,
            "seconds": 5 * pace + (pause if i == 2 else 0),
            "images_per_second": 9,
        }
        for i in range(1, 5)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study("smoke")
    for method, pace in (("dinov2-b", 0.36), ("sd-vae-mse", 0.72), ("jit", 0.18)):
        _curve(curve_path(Paths(study), method, "imagenet"), pace, pause=60)
        if method != "jit":
            _curve(curve_path(Paths(study), method, "t2i"), 1.5 * pace)
    return tmp_path


def _table(trained):
    assert main(["table", "times", "--study", "smoke", "--output-prefix", str(trained / "times")]) == 0
    with open(trained / "times.csv") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def test_hours_of_100_000_steps_ignore_a_pause_and_the_total_does_not(trained):
    row = _table(trained)["dinov2-b"]
    assert float(row["imagenet_hours"]) == pytest.approx(10.0)
    assert float(row["ratio"]) == pytest.approx(1.5)
    assert float(row["imagenet_seconds"]) == pytest.approx(20 * 0.36 + 60)
    assert row["imagenet_steps"] == "20"


def test_the_note_names_what_is_encoded_in_every_step(trained):
    cached, online = (load_study("smoke", {"cache": of, "text": "cache"}) for of in ("always", "never"))
    for study, said in ((cached, "are cached"), (online, "latents/imagenet/sd-vae-mse")):
        assert said in " ".join(table(study).notes)


def test_an_untrained_run_is_an_empty_cell_and_no_bar(trained, capsys):
    row = _table(trained)["jit"]
    assert row["t2i_hours"] == row["ratio"] == ""
    table, out = str(trained / "times.csv"), str(trained / "figure2")
    assert main(["figure", "figure2", "--study", "smoke", "--input", table, "--output-prefix", out]) == 0
    assert "JiT: ImageNet 5.00 h\n" in capsys.readouterr().out
    assert (trained / "figure2.pdf").stat().st_size > 1000


def test_the_papers_times_are_said_to_be_in_its_picture_alone(tmp_path, capsys):
    assert main(["figure", "figure2", "--published", "--output-prefix", str(tmp_path / "f")]) == 2
    assert "an image without numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line"),
        ("loss 1\n", "line 1"),
        ('{"step": 5, "seconds": 1}\n{"step": 5, "seconds": 1}\n', "line 2"),
    ],
)
def test_a_file_that_is_no_curve_is_refused(tmp_path, text, said):
    from nanogen.errors import UserError

    (tmp_path / "train.jsonl").write_text(text)
    with pytest.raises(UserError, match=said):
        read_curve(tmp_path / "train.jsonl")
