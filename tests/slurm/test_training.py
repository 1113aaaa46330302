"""A disturbed training on two nodes continues and ends with bit-identical weights."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
from cluster import Cluster
from safetensors.torch import load_file

from nanogen.config import load_study, stages
from nanogen.data.image_import import write_images

pytestmark = pytest.mark.slow
STUDY = {
    "data": {"train_images": 100, "val_images": 20},
    "backbone": {"encoder_width": 32, "encoder_depth": 2, "encoder_heads": 2}
    | {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2},
    "training": {"steps": 240, "batch_size": 16, "noise_chunk": 8}
    | {"optimizer": {"warmup_steps": 2, "decay_start": 100, "decay_end": 240}},
}


class Training:
    """One run of `nanogen train` in its own folder."""

    def __init__(self, folder: Path, images: Path, stage: dict):
        self.folder = folder
        self.words = commands.train(folder, stage, images, log_every=10)

    @property
    def checkpoints(self) -> list[Path]:
        return list((self.folder / "state").glob("step-*.safetensors"))

    @property
    def weights(self) -> dict:
        return load_file(self.folder / "model" / "model.safetensors")

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text()

    def launch(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "nanogen", "launch", *options, "--", *self.words]

    def submit(self, cluster: Cluster, *options: str) -> int:
        """Submit a job of two nodes with one process each, and wait until it trains."""
        curve = self.folder / "state" / "train.jsonl"
        before = len(curve.read_text().splitlines()) if curve.exists() else 0
        job = cluster.submit(
            "--nodes=2",
            "--ntasks=2",
            *options,
            f"--wrap={shlex.join(self.launch('--nodes', '2'))}",
            log=self.folder / "log",
        )
        until = time.monotonic() + 120
        while not curve.exists() or len(curve.read_text().splitlines()) <= before:
            state = cluster.state(job)
            assert state in ("PENDING", "CONFIGURING", "RUNNING"), f"{state}: {self.said}"
            assert time.monotonic() < until, self.said
            time.sleep(0.02)
        return job


@pytest.fixture(scope="module")
def stage() -> dict:
    return stages.train(load_study("nano", STUDY), "jit", "imagenet")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.h5"
    write_images(stages.data(load_study("nano", STUDY), "imagenet", "train"), path)
    return path


@pytest.fixture
def training(tmp_path, images, stage) -> Training:
    return Training(tmp_path, images, stage)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, images, stage) -> Training:
    """The same training with two processes on this machine, without SLURM."""
    run = Training(tmp_path_factory.mktemp("undisturbed"), images, stage)
    subprocess.run(run.launch("--processes", "2"), check=True, capture_output=True)
    return run


def same_weights(one: Training, other: Training) -> bool:
    return all(value.equal(other.weights[name]) for name, value in one.weights.items())


@pytest.mark.parametrize("name", ["TERM", "USR1"])  # cancelled, or before the time limit
def test_a_signal_saves_and_the_next_job_continues(cluster, training, undisturbed, name):
    job = training.submit(cluster)
    cluster.run("scancel", f"--signal={name}", str(job))
    cluster.wait_for(job, "FAILED")
    assert "of 240; the same command continues" in training.said
    assert "Traceback" not in training.said
    assert training.checkpoints
    cluster.wait_for(training.submit(cluster), "COMPLETED")
    assert "continuing jit on imagenet after step" in training.said
    assert same_weights(training, undisturbed)


def test_a_requeued_job_continues(cluster, training, undisturbed):
    job = training.submit(cluster, "--requeue")
    cluster.run("scontrol", "requeue", str(job))
    cluster.wait_for(job, "COMPLETED")
    assert "continuing jit on imagenet after step" in training.said
    assert same_weights(training, undisturbed)


def test_a_node_that_dies_ends_the_job_with_a_sentence(cluster, training, undisturbed):
    job = training.submit(cluster, "--no-requeue")
    cluster.kill_node("c2")
    try:
        cluster.wait_for(job, "FAILED", "NODE_FAIL")
    finally:
        cluster.start_node("c2")
    assert "rank 0 on c1 lost another of the 2 processes" in training.said
    assert "Traceback" not in training.said
    cluster.wait_for(training.submit(cluster), "COMPLETED")
    assert same_weights(training, undisturbed)


def test_gpus_that_torch_does_not_see_are_an_error_of_their_node(cluster, training):
    """The nodes' devices are not GPUs: SLURM allocates them, but torch does not see them."""
    words = shlex.join(training.launch("--nodes", "2", "--gres", "gpu:8", "--processes", "8"))
    options = ["--nodes=2", "--ntasks=2", "--gres=gpu:8", "--cpus-per-task=64", "--mem=500000"]
    job = cluster.submit(*options, f"--wrap={words}", log=training.folder / "log")
    cluster.wait_for(job, "FAILED")
    assert "need 8 GPUs, but torch sees 0 (CUDA_VISIBLE_DEVICES: 0,1,2,3,4,5,6,7)" in training.said
    assert "Traceback" not in training.said
