"""A process that computes on a CPU keeps the memory that every step allocates."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import torch
from nanogen.training.processes import processes

def step():
    held = [torch.ones(count) for count in [4 << 20] * 6]  # 16 MiB each
    return sum(float(x[-1]) for x in held)

with processes():
    for _ in range(5):  # until the heap has found places for all of them
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_a_step_asks_the_system_for_no_page_twice():
    done = subprocess.run([sys.executable, "-c", STEPS], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100  # a step touches 24,000 pages of 4 KiB
