"""torchrun around one step: two processes train as one does, and errors are single sentences."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import commands
import pytest
import torch
from safetensors.torch import load_file

from nanogen.cli import main
from nanogen.config import stages
from nanogen.config.train_stage import TrainStage
from nanogen.stage2.dataset import TrainingData
from nanogen.stage2.loop import train
from nanogen.training.execution import Execution
from nanogen.training.launch import srun
from nanogen.training.nodes import step_here
from nanogen.training.processes import Processes

NANOGEN = [sys.executable, "-m", "nanogen"]


def command(folder: Path, stage: dict, images: Path, processes: int) -> list[str]:
    """Arguments of `nanogen launch ... train` of the stage, with its files below ``folder``."""
    words = commands.train(folder, stage, images, log_every=2)
    return [*NANOGEN, "launch", "--processes", str(processes), "--", *words]


def trained(
    folder: Path, stage: dict, images: Path, processes: int, *options: str
) -> tuple[list[float], dict]:
    """Run the training and return (losses, weights)."""
    words = [*command(folder, stage, images, processes), *options]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (folder / "state").exists()  # a finished training leaves no state
    return result(folder / "model")


def result(model: Path) -> tuple[list[float], dict]:
    lines = (model / "train.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines], load_file(model / "model.safetensors")


@pytest.fixture(scope="module")
def whole(tiny, tiny_images, tmp_path_factory) -> Callable[..., tuple[list[float], dict]]:
    """``whole(processes, steps, sharding)``: (losses, weights) of an undisturbed training, cached."""

    @cache
    def whole(processes: int, steps: int, sharding: str) -> tuple[list[float], dict]:
        stage = stages.train(tiny(training={"steps": steps}), "jit", "imagenet")
        folder, options = tmp_path_factory.mktemp("whole") / "run", ("--sharding", sharding)
        return trained(folder, stage, tiny_images, processes, *options)

    return whole


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_two_processes_train_as_one_does(tiny, tiny_images, tmp_path, whole, sharding):
    stage = stages.train(tiny(), "jit", "imagenet")
    source = TrainingData(TrainStage.from_json(stage), None, tiny_images, None)
    alone = Processes(0, 1, torch.device("cpu"))
    state, output = tmp_path / "state", tmp_path / "one"
    state.mkdir()
    train(
        TrainStage.from_json(stage),
        source,
        state=state,
        output=output,
        group=alone,
        execution=Execution(log_every=2),
    )
    one_losses, one = result(tmp_path / "one")
    two_losses, two = whole(2, stage["training"]["steps"], sharding)
    assert len(one_losses) == 4
    assert two_losses == pytest.approx(one_losses, abs=1e-4)
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, atol=1e-5, rtol=1e-4, msg=name)


def cut(words: list[str], curve: Path, number: signal.Signals) -> tuple[int, str]:
    """Start the training, send the signal once ``curve`` has grown, and return exit code and messages.

    SIGKILL goes to the launcher only, as when memory is short; its workers are waited for.
    """
    before = curve.stat().st_size if curve.exists() else 0
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not (curve.exists() and curve.stat().st_size > before):
        time.sleep(0.01)
    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)
    message = process.communicate(timeout=60)[1]
    return process.returncode, message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "steps", "signals"),
    [
        (1, 160, {signal.SIGINT: 130}),
        (2, 100, {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL, signal.SIGUSR1: 75}),
    ],
)
def test_a_signal_saves_and_the_same_command_continues(
    tiny, tiny_images, tmp_path, whole, processes, steps, signals
):
    stage = stages.train(tiny(training={"steps": steps}), "jit", "imagenet")
    _, expected = whole(processes, steps, "none")
    words = command(tmp_path / "cut", stage, tiny_images, processes)
    state = tmp_path / "cut" / "state"
    for number, code in signals.items():
        ended, message = cut(words, state / "train.jsonl", number)
        assert ended == code, message
        assert f"of {steps}; the same command continues" in message
        assert "Traceback" not in message
        assert not (tmp_path / "cut" / "model").exists()
        assert list(state.glob("step-*.safetensors"))
    _, weights = trained(tmp_path / "cut", stage, tiny_images, processes)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_a_workers_mistake_is_one_sentence(tiny, tiny_images, tmp_path):
    stage = stages.train(tiny(), "jit", "imagenet")
    words = command(tmp_path / "run", stage, tmp_path / "nowhere.h5", 2)
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nowhere.h5 does not exist" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_more_processes_than_chunks_are_refused(tiny, tiny_images, tmp_path):
    stage = stages.train(tiny(training={"batch_size": 8}), "jit", "imagenet")
    done = subprocess.run(
        command(tmp_path / "run", stage, tiny_images, 2), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "batch_size 8 has 1 chunks of 8 samples, which 2 processes cannot share" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_training_from_caches_imports_no_library_of_models(tiny, tiny_images, tmp_path):
    stage = stages.train(tiny(training={"steps": 2}), "jit", "imagenet")
    words = command(tmp_path, stage, tiny_images, 1)
    words = words[words.index("train") :]
    code = (
        "import sys; from nanogen.cli import main; code = main(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules}); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"torch", "numpy", "h5py"} <= loaded
    assert not loaded & {"transformers", "diffusers", "timm", "torchvision", "snakemake"}


def refused(capsys, *words: str) -> str:
    """Return the error of a `nanogen launch` that must refuse."""
    assert main(["launch", *words]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_nothing_to_launch_is_a_sentence(capsys):
    assert "no command to launch" in refused(capsys, "--processes", "2")


def as_node(node: int, job: int, nodes: int = 2) -> dict[str, str]:
    """Environment of an srun task on node ``node`` of a step; all nodes are this machine."""
    told = {
        "SLURM_JOB_ID": job,
        "SLURM_NODEID": node,
        "SLURM_STEP_NUM_NODES": nodes,
        "SLURM_STEP_NODELIST": f"c[1-{nodes}]",
        "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1",
    }
    return os.environ | {name: str(value) for name, value in told.items()}


def on_nodes(*options: str) -> list[str]:
    return [*NANOGEN, "launch", "--nodes", "2", "--wait", "60", *options, "--"]


@pytest.mark.slow
def test_two_nodes_train_to_the_bit_as_two_processes_of_one(tiny, tiny_images, tmp_path, whole):
    stage = stages.train(tiny(), "jit", "imagenet")
    _, expected = whole(2, stage["training"]["steps"], "none")
    words = command(tmp_path / "two", stage, tiny_images, 1)
    words = [*on_nodes(), *words[words.index("train") :]]
    nodes = [
        subprocess.Popen(words, env=as_node(node, os.getpid()), stderr=subprocess.PIPE, text=True)
        for node in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in nodes]
    assert [process.returncode for process in nodes] == [0, 0], said
    _, weights = result(tmp_path / "two" / "model")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.fixture
def on_node(monkeypatch):
    """``on_node(node, job, nodes)``: make this process a task of such a step."""

    def be(node: int, job: int, nodes: int = 2) -> None:
        for name, value in as_node(node, job, nodes).items():
            monkeypatch.setenv(name, value)

    return be


def test_nodes_that_do_not_start_are_named(capsys, monkeypatch, on_node):
    on_node(0, os.getpid(), 3)
    monkeypatch.setenv("PATH", "")  # nodes are then named by number, whatever is installed
    said = refused(capsys, "--nodes=3", "--wait=2", "--processes=4", "--", "train")
    missing = "node 1 (ranks 4 to 7), node 2 (ranks 8 to 11)"
    assert f"2 of 3 nodes did not start within 2 s: {missing}" in said


LOGIN_NODE = "192.0.2.1"  # an address that no machine has


@pytest.fixture
def from_login(monkeypatch, on_node, tmp_path):
    """``from_login(first)``: make this a task of srun on a login node; node 0 is named ``first``."""

    def be(first: str) -> None:
        on_node(1, os.getpid())
        monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", LOGIN_NODE)
        scontrol = tmp_path / "scontrol"
        scontrol.write_text(f"#!/bin/sh\n[ \"$*\" = 'show hostnames c[1-2]' ] && echo {first} c2\n")
        scontrol.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return be


def test_the_first_node_is_reached_by_its_name_wherever_srun_was_started(capsys, from_login):
    from_login("localhost")
    assert step_here().first == "localhost"
    said = refused(capsys, "--nodes=2", "--wait=2", "--", "train")
    assert re.search(r"did not reach localhost \(port \d+\) within 2 s", said)


def test_a_first_node_whose_name_does_not_resolve_is_reached_by_its_address(from_login):
    from_login("c1.invalid")
    assert step_here().first == LOGIN_NODE


def test_a_first_node_that_does_not_answer_is_named(capsys, on_node):
    on_node(1, os.getpid())
    said = refused(capsys, "--nodes=2", "--wait=2", "--", "train")
    assert "did not reach" in said
    assert "within 2 s" in said


@pytest.mark.parametrize("asked", [1, 4])
def test_a_step_of_another_size_is_refused(capsys, on_node, asked):
    on_node(0, 1)
    said = refused(capsys, f"--nodes={asked}", "--", "train")
    assert f"{asked} nodes were asked for, but SLURM's step has 2 (c[1-2])" in said


def test_several_nodes_without_slurm_are_refused(capsys):
    said = refused(capsys, "--nodes=4", "--", "train")
    assert "4 nodes were asked for, but this is one machine" in said


def test_gpus_that_are_not_there_are_an_error_and_no_training_on_cpus(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    said = refused(capsys, "--gres=gpu:8", "--processes=8", "--", "train")
    assert "need 8 GPUs, but torch sees 0" in said


def test_without_srun_its_absence_is_a_sentence(capsys):
    said = refused(capsys, "--mpi=no-srun", "--nodes=2", "--", "train")
    assert "no-srun is not on this machine" in said


def test_srun_starts_one_launcher_on_each_node():
    words = srun("srun --label", 4, "gpu:8", 8, ["train", "--config", "x.json"])
    assert words[:5] == ["srun", "--label", "--nodes=4", "--ntasks=4", "--ntasks-per-node=1"]
    assert {"--gres=gpu:8", "--kill-on-bad-exit=1", "--nodes=4", "--processes=8"} <= set(words)
    assert words[-4:] == ["--", "train", "--config", "x.json"]
