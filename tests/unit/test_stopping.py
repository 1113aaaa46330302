"""A training that must stop or runs out of time saves, exits with its code, and continues later."""

from __future__ import annotations

import os
import signal
from datetime import datetime

import commands
import pytest

from nanogen.cli import main
from nanogen.cli.common import moment
from nanogen.config import stages
from nanogen.errors import UserError
from nanogen.training import checkpoint
from nanogen.training.stopping import RESERVE, Deadline, StopRequest, end_of_job


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGUSR1, 75)]
)
def test_a_signal_asks_to_stop_with_its_code(number, code):
    stop = StopRequest()
    assert stop.code() == 0
    os.kill(os.getpid(), number)
    assert stop.code() == code


def test_whoever_cancels_wins_over_the_time_limit():
    stop = StopRequest(deadline=0)
    assert stop.code() == 75
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.code() == 130


def test_a_deadline_is_near_when_the_longest_interval_no_longer_fits():
    deadline = Deadline(1000.0 + RESERVE, began=0.0)
    assert not deadline.near(100.0)
    assert not deadline.near(400.0)  # it took 300 s
    assert not deadline.near(600.0)
    assert not deadline.near(699.0)
    assert deadline.near(701.0)
    assert not Deadline(None, began=0.0).near(1e12)


def test_the_end_of_a_slurm_job_is_the_deadline_unless_another_is_given(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert end_of_job() is None
    for told in ("0", "Unknown"):  # not a time
        monkeypatch.setenv("SLURM_JOB_END_TIME", told)
        assert end_of_job() is None
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1790000000")
    assert end_of_job() == 1790000000


def test_a_time_is_written_as_iso_or_in_seconds():
    assert moment("1790000000") == 1790000000
    assert moment("2026-01-31T18:00") == datetime(2026, 1, 31, 18).timestamp()
    with pytest.raises(UserError, match="'tomorrow' is not a time; write 2026-01-31T18:00 or seconds"):
        moment("tomorrow")


@pytest.mark.parametrize("given", ["option", "job"])
def test_out_of_time_it_saves_and_the_same_command_continues(
    tiny, tiny_images, tmp_path, capsys, monkeypatch, given
):
    stage = stages.train(tiny(), "jit", "imagenet")
    words = commands.train(tmp_path, stage, tiny_images, log_every=4)
    if given == "job":
        monkeypatch.setenv("SLURM_JOB_END_TIME", "1")
    assert main([*words, *(["--deadline", "2026-01-01"] if given == "option" else [])]) == 75
    said = capsys.readouterr().err
    assert "nanogen train: out of time: stopped after step 4 of 8; the same command continues" in said
    assert [path.name for path in checkpoint.found(tmp_path / "state")] == ["step-000000004.safetensors"]
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert main(words) == 0
    assert (tmp_path / "model" / "model.safetensors").exists()
