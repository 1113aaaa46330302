"""Where a study's time went: every run counts once, however many files it wrote."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nanogen.cli import main
from nanogen.files import write_json
from nanogen.records import record
from nanogen.records.usage import Usage
from nanogen.report import profile

START = datetime(2026, 1, 31, 18, tzinfo=UTC)


def ran(output: Path, command: str, after: float, user: float, memory: int = 1 << 20) -> None:
    """Write an output and its record: ``command`` began after ``after`` seconds and took 10 s."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.touch()
    noted = {
        "format": "nanogen.provenance",
        "format_version": 1,
        "hash": "a",
        "command": f"nanogen {command}",
        "began": (START + timedelta(seconds=after)).isoformat(timespec="milliseconds"),
        "seconds": 10.0,
        "usage": {"user": user, "system": 0.5, "memory": memory},
    }
    write_json(record.place(output), noted)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = Path("results/smoke")
    for name in ("fid", "is", "sfid"):  # all of one run
        ran(root / f"runs/a/metrics/{name}.json", "score-samples --features a.h5", 65.25, 1.5)
    ran(root / "runs/b/metrics/fid.json", "score-samples --features b.h5", 60, 2.0)
    ran(root / "data/train.h5", "make-data --output 'results/smoke/data/train.h5'", 0, 30.0, 7 << 20)
    return root


def test_a_run_that_made_several_files_counts_once(study):
    data, scores = profile.totals(profile.runs(study))
    assert data == profile.Total("make-data", 1, 10.0, 30.0, 0.5, 7 << 20)
    assert scores == profile.Total("score-samples", 2, 20.0, 3.5, 1.0, 1 << 20)


def test_the_timeline_is_in_the_order_of_beginning(study):
    runs = profile.runs(study)
    assert [(run.output, run.began) for run in runs] == [
        ("data/train.h5", 0.0),
        ("runs/b/metrics/fid.json", 60.0),
        ("runs/a/metrics/fid.json", 65.25),
    ]
    assert profile.elapsed(runs) == 75.25


def test_the_command_prints_what_every_command_took(study, capsys):
    assert main(["profile", "--study", "smoke"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    lines = {words[0]: words[1:] for words in printed if words}
    assert lines["make-data"] == ["1", "10.0", "30.0", "0.5", "30.5", "7"]
    assert lines["all"] == ["3", "30.0", "33.5", "1.5", "35.0", "7"]
    assert main(["profile", "--study", "smoke", "--timeline"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("data/train.h5") < shown.index("runs/b/metrics/fid.json")


def test_a_study_that_was_not_run_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["profile", "--study", "smoke"]) == 2
    assert "results/smoke contains no record" in capsys.readouterr().err


def test_the_record_of_a_launched_step_tells_of_its_processes(tmp_path):
    """The launcher writes the record after its processes have ended."""
    write_json(tmp_path / "fid.json", {"hash": "a"})
    record.write([({"hash": "a"}, tmp_path)], ["train"], START)
    before = Usage(**record.read(tmp_path / "fid.json")["usage"])
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    record.write_usage({"hash": "a"}, tmp_path, START)
    noted = record.read(tmp_path / "fid.json")
    assert noted["command"] == "nanogen train"
    after = Usage(**noted["usage"])
    assert after.user + after.system - before.user - before.system >= 0.29
