"""The profile `gpu`: every job has its own devices, and none is idle while a job waits for one.

The workflow, the profile and the choice of devices are real; the devices are simulated. The commands
only record the devices that they took, and hold them until the expected other jobs have started.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from working_copy import ENVIRONMENT, ROOT, Outcome, WorkingCopy

from nanogen import devices
from nanogen.errors import UserError

PRETENDED = ["0", "1", "2", "3"]
# Replaces nanogen/__main__.py. With BARRIER, one-device jobs run in groups of four, one per device: each
# holds its device until its whole group (or the last job) has begun and a job without a device has run.
PROGRAM = """
import json, os, sys, time
from pathlib import Path
from nanogen.devices import needed, take

command, folder = sys.argv[1:], Path(os.environ["RECORD"])
count, devices = needed(command), take(command)
began = time.monotonic()
(folder / f"{os.getpid()}.begun").write_text(str(count))


def begun(least):
    return sum(int(path.read_text() or 0) >= least for path in folder.glob("*.begun"))


def wait(what):
    until = time.monotonic() + 90
    while not what():
        if time.monotonic() > until:
            sys.exit("a device stayed idle while a job waited")
        time.sleep(0.02)


if total := int(os.environ.get("BARRIER", 0)):
    beside = folder / "beside"
    if count:
        place = begun(1)
        wait(lambda: begun(1) >= min(total, -(-place // 4) * 4) and beside.exists())
    elif command[0] == "make-prompts":
        wait(lambda: begun(1) >= 4)
        beside.touch()
else:
    time.sleep(0.2)
visible = os.environ.get("CUDA_VISIBLE_DEVICES")
noted = {"command": command, "devices": devices, "visible": visible, "began": began}
(folder / f"{os.getpid()}.json").write_text(json.dumps({**noted, "ended": time.monotonic()}))
output = Path(command[command.index("--output") + 1])
names = "nanogen.json model.safetensors config.json train.jsonl kept.safetensors"
for path in [output] if output.suffix else [output / name for name in names.split()]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
"""


@pytest.fixture
def copy(working_copy, tmp_path: Path, monkeypatch) -> WorkingCopy:
    (tmp_path / "copy").mkdir()
    (tmp_path / "record").mkdir()
    found = working_copy(tmp_path / "copy")
    (found / "src/nanogen/__main__.py").write_text(PROGRAM)
    (tmp_path / "locks").mkdir()
    pretended = {"NANOGEN_DEVICES": ",".join(PRETENDED), "RECORD": str(tmp_path / "record")}
    for name, value in {**pretended, "TMPDIR": str(tmp_path / "locks")}.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    return found


def recorded(tmp_path: Path, outcome: Outcome) -> list[dict]:
    """Return what the commands recorded; fail if two held one device at once."""
    assert outcome.code == 0, outcome.text[-3000:]
    noted = [json.loads(path.read_text()) for path in (tmp_path / "record").glob("*.json")]
    for one in noted:
        assert one["visible"] == ",".join(one["devices"])
    for device in PRETENDED:
        held = sorted((n["began"], n["ended"]) for n in noted if device in n["devices"])
        assert held, f"device {device} was never used"
        assert all(ended <= began for (_, ended), (began, _) in pairwise(held))
    return noted


@pytest.mark.slow
def test_four_jobs_run_at_once_each_on_a_device_of_its_own_and_others_beside(
    copy, tmp_path, monkeypatch
):
    plan = copy.plan("all", "--config", "study=nano")
    cards = [path for job in plan.of("build_model") for path in job.outputs]
    assert len(cards) >= 8
    monkeypatch.setitem(ENVIRONMENT, "BARRIER", str(len(cards)))
    prompts = "results/nano/prompts/geneval.json"
    outcome = copy.snakemake("--profile", "gpu", "--cores", "8", prompts, *cards)
    noted = recorded(tmp_path, outcome)
    counts = Counter(len(one["devices"]) for one in noted)
    assert counts == {1: len(cards), 0: len(noted) - len(cards)}


@pytest.mark.slow
def test_trainings_have_as_many_processes_as_devices(copy, tmp_path):
    noted = recorded(tmp_path, copy.snakemake("--profile", "gpu", "--cores", "8", "models", *SMOKE))
    of_trainings = [one["devices"] for one in noted if one["command"][0] == "launch"]
    assert len(of_trainings) == 8  # six of backbones, two of tokenizers
    assert {len(taken) for taken in of_trainings} == {2}  # divides the small study's batches
    one_device = {one["command"][0] for one in noted if len(one["devices"]) == 1}
    assert one_device == {"build-model", "encode-latents", "encode-text"}
    assert {one["command"][0] for one in noted if not one["devices"]} == {"make-data"}


SMOKE = ("--config", "study=smoke")


@pytest.mark.slow
def test_no_gpu_is_said_in_a_sentence(copy, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "NANOGEN_DEVICES", "")
    outcome = copy.snakemake("--profile", "gpu", "-n", "models", *SMOKE)
    assert outcome.code == 1
    assert "the profile gpu found no GPU; leave it out to compute on the processor" in outcome.text


# ---------------------------------------------------------------------------------- one command


@pytest.fixture
def four(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NANOGEN_DEVICES", "0,1,2,3")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all of them")
    monkeypatch.setattr(devices, "_held", [])


def take_anew(monkeypatch, *command: str) -> list[str]:
    monkeypatch.setenv("NANOGEN_DEVICES", "0,1,2,3")
    return devices.take(list(command))


def test_a_command_takes_free_devices_and_its_children_take_none(four, monkeypatch):
    assert take_anew(monkeypatch, "launch", "--processes", "2", "--", "train") == ["0", "1"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert devices.take(["train"]) == []  # a child process
    assert take_anew(monkeypatch, "encode-latents") == ["2"]
    assert take_anew(monkeypatch, "table", "table2") == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert take_anew(monkeypatch, "sample") == ["3"]


def test_more_devices_than_there_are_is_an_error(four):
    with pytest.raises(UserError, match="launch needs 8 GPUs, there are 4; set processes and devices"):
        devices.take(["launch", "--processes", "8", "--", "train"])


def test_the_profile_names_every_rule_that_computes_on_a_device():
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    found = re.findall(r"\n\s*rule (\w+):(?:(?!\n\s*rule ).)*?python -m nanogen ([\w-]+)", text, re.S)
    computing = {rule for rule, command in found if command == "launch" or command in devices.ON_ONE}
    copied = dict(re.findall(r"use rule (\w+) as (\w+)", text))
    computing |= {copy for rule, copy in copied.items() if rule in computing}
    profile = yaml.safe_load((ROOT / "profiles/gpu/config.yaml").read_text())
    assert computing == set(profile["set-resources"])
