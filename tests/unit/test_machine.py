"""The machine in a training log: images per second, memory, MFU and the time left."""

from __future__ import annotations

import json
import logging
import re

import pytest
import torch

from nanogen.training.log import TrainingLog
from nanogen.training.machine import Machine, peak_of

CPU = torch.device("cpu")


def test_the_share_of_the_peak_is_that_of_all_devices():
    eight = Machine(CPU, world=8, flops=2e12, peak=1e15)
    assert eight.mfu(400.0) == pytest.approx(0.1)  # 400 images/s * 2 TFLOP out of 8 PFLOP/s
    assert "400 images/s" in eight.described(400.0)
    assert eight.described(400.0).endswith("MFU 10 %")


def test_on_a_cpu_no_share_is_claimed():
    machine = Machine.of(CPU, 1, flops=1e9)
    assert machine.mfu(100.0) is None
    assert re.fullmatch(r"100 images/s, \d+\.\d GB", machine.described(100.0))
    assert 0.05 < machine.memory_gb < 100  # this process holds torch


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA L4", 121),
        ("NVIDIA L40", 181),
        ("NVIDIA L40S", 362),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA GH200 480GB", 989.5),
        ("NVIDIA B200", 2250),
        ("NVIDIA GB200", 2500),
        ("NVIDIA A10", 0),
        ("NVIDIA H20", 0),
    ],
)
def test_the_peak_is_that_of_the_gpus_form(name, teraflops):
    assert peak_of(name) == pytest.approx(1e12 * teraflops)


def test_a_line_of_the_log_has_speed_memory_and_the_time_left(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    curve = TrainingLog(tmp_path / "train.jsonl", "jit on t2i", 0, 4, 2, 16, Machine.of(CPU, 1))
    for step in range(1, 5):
        curve.step(step, loss=torch.tensor(0.5))
        curve.next_line = 0.0  # as if a line were due
    curve.close()
    first, last = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(
        r"jit on t2i: step 2/4, loss 0\.5000, \d+ images/s, \d+\.\d GB, about \d+ \w+ left", first
    )
    assert "left" not in last
    curve_lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve_lines] == [2, 4]
