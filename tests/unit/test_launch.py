"""torchrun around one step: two processes train as one does, and errors stay sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nanogen.config import stages
from nanogen.files import write_json
from nanogen.training.distributed import Processes
from nanogen.training.launch import srun, torchrun_options
from nanogen.training.loop import train
from nanogen.training.sources import TrainingData

NANOGEN = [sys.executable, "-m", "nanogen"]


def command(folder: Path, stage: dict, images: Path, processes: int) -> list[str]:
    """`nanogen launch ... train` of the stage, with its files below ``folder``."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "train.json", stage)
    options = {
        "--config": folder / "train.json",
        "--data": images,
        "--state": folder / "state",
        "--output": folder / "model",
        "--checkpoint-every": 1000,
        "--log-every": 2,
    }
    words = [str(word) for pair in options.items() for word in pair]
    return [*NANOGEN, "launch", "--processes", str(processes), "--", "train", *words]


def trained(folder: Path, stage: dict, images: Path, processes: int) -> tuple[list[float], dict]:
    """(losses, weights) of the training."""
    done = subprocess.run(command(folder, stage, images, processes), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (folder / "state").exists()  # nothing is left of a finished training
    return result(folder / "model")


def result(model: Path) -> tuple[list[float], dict]:
    lines = (model / "train.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines], load_file(model / "model.safetensors")


def test_two_processes_train_as_one_does(tiny, tiny_images, tmp_path):
    stage = stages.train(tiny(), "jit", "imagenet")
    source = TrainingData(stage, None, tiny_images, None)
    alone = Processes(0, 1, torch.device("cpu"))
    (tmp_path / "state").mkdir()
    train(stage, source, tmp_path / "state", tmp_path / "one", alone, 1000, 2)
    one_losses, one = result(tmp_path / "one")
    two_losses, two = trained(tmp_path / "two", stage, tiny_images, 2)
    assert len(one_losses) == 4
    assert two_losses == pytest.approx(one_losses, abs=1e-4)
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_continues(tiny, tiny_images, tmp_path):
    stage = stages.train(tiny(training={"steps": 400}), "jit", "imagenet")
    _, expected = trained(tmp_path / "whole", stage, tiny_images, 1)
    words = command(tmp_path / "cut", stage, tiny_images, 1)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    curve = tmp_path / "cut" / "state" / "train.jsonl"
    while not curve.exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130, message
    assert "of 400; the same command continues" in message
    assert "Traceback" not in message
    assert not (tmp_path / "cut" / "model").exists()
    assert list((tmp_path / "cut" / "state").glob("step-*.safetensors"))
    _, weights = trained(tmp_path / "cut", stage, tiny_images, 1)
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
    assert "batch_size 8 holds 1 chunks of 8 samples, which 2 processes cannot share" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_nothing_to_launch_is_a_sentence():
    done = subprocess.run([*NANOGEN, "launch", "--processes", "2"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "say what to launch" in done.stderr


def test_options_on_one_machine_and_on_the_nodes_of_a_step(monkeypatch):
    monkeypatch.delenv("SLURM_NNODES", raising=False)
    assert torchrun_options(8, "train") == ["--standalone", "--nproc-per-node=8"]
    monkeypatch.setenv("SLURM_NNODES", "4")
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7")
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    options = torchrun_options(8, "train")
    assert "--nnodes=4" in options
    assert "--nproc-per-node=8" in options
    assert "--rdzv-endpoint=10.0.0.7:29500" in options
    words = srun("srun", 4, "gpu:8", 8, ["train", "--config", "x.json"])
    assert words[:5] == ["srun", "--nodes=4", "--ntasks=4", "--ntasks-per-node=1", "--gres=gpu:8"]
    assert words[-4:] == ["--", "train", "--config", "x.json"]
