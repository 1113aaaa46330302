"""Functions, other than commands, that tests run in several processes (`forked.Forks`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from nanogen.cli import main
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.stage2.learner import Learner
from nanogen.training.execution import Execution
from nanogen.training.processes import processes


def in_double(*words: str) -> int:
    """Run ``nanogen`` with these arguments in float64."""
    torch.set_default_dtype(torch.float64)
    return main(list(words))


def with_own_state(*words: str) -> int:
    """Run ``nanogen`` with another state folder in each process, as on nodes without a shared disk."""
    own = [*words]
    own[words.index("--state") + 1] += os.environ["RANK"]
    return main(own)


def mistake_of_one(backend: str) -> int:
    """Make a mistake in the first process while the other waits for it.

    ``backend`` is what the backend is taken for: NCCL itself needs GPUs. Returns whether the group is
    still open.
    """
    dist.get_backend = lambda *_: backend
    try:
        with processes() as group:
            if group.main:
                raise UserError("a mistake of one")
            group.largest(1)
    except UserError as error:
        sys.stderr.write(f"rank {group.rank}: {error}\n")
    return int(dist.is_initialized())


def hours_of_patience() -> int:
    """Return how long a process waits for the others."""
    with processes() as group:
        options = dist.group.WORLD._get_backend(group.device).options
    return round(options._timeout.total_seconds() / 3600)


def average_of_others(config: str, sharding: str) -> int:
    """Save the average before the first step; each process is initialised with other weights."""
    with processes() as group:
        stage = TrainStage.from_json({**read_json(config), "seed": group.rank})
        average = Learner(stage, group, execution=Execution(sharding=sharding)).average()
        save_file(average, Path(config).with_name(f"average-{sharding}-{group.rank}.safetensors"))
    return 0
