"""Functions, other than commands, that tests run in several processes (`forked.Forks`)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from nanogen.cli import main
from nanogen.config.train_stage import TrainStage
from nanogen.files import read_json
from nanogen.stage2.learner import Learner
from nanogen.training.execution import Execution
from nanogen.training.processes import processes


def in_double(*words: str) -> int:
    """Run ``nanogen`` with these arguments in float64."""
    torch.set_default_dtype(torch.float64)
    return main(list(words))


def average_of_others(config: str, sharding: str) -> int:
    """Save the average before the first step; each process is initialised with other weights."""
    with processes() as group:
        stage = TrainStage.from_json({**read_json(config), "seed": group.rank})
        average = Learner(stage, group, execution=Execution(sharding=sharding)).average()
        save_file(average, Path(config).with_name(f"average-{sharding}-{group.rank}.safetensors"))
    return 0
