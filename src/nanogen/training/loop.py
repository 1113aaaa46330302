"""The training loop. It knows nothing of methods, tasks, devices, or how processes share the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from nanogen.training import finished
from nanogen.training.batches import Batches, Source
from nanogen.training.distributed import Processes
from nanogen.training.learner import WHOLE, Execution, Learner
from nanogen.training.online import Online
from nanogen.training.sharding import gathered
from nanogen.training.stopping import Interrupted, StopRequest
from nanogen.training.watch import Watch


def train(
    stage: dict[str, Any],
    source: Source,
    state: Path,
    output: Path,
    group: Processes,
    checkpoint_every: int,
    log_every: int,
    networks: Mapping[str, nn.Module] | None = None,
    online: Online | None = None,
    keep: Sequence[int] | None = None,
    execution: Execution = WHOLE,
) -> None:
    """Train the run of a ``train`` stage from its newest checkpoint in ``state`` to the end.

    ``networks`` are those the objective's terms compare with, by term, on the group's device;
    ``online`` evaluates the average in between, on every process.
    ``output`` becomes the model's folder: config.json, model.safetensors (the average),
    train.jsonl, online.jsonl where it was evaluated, kept.safetensors (the averages after the steps
    ``keep``) unless that is none, and nanogen.json. Raises Interrupted after a signal or when the
    deadline is near, with the state saved.
    """
    steps = stage["training"]["steps"]
    learner = Learner(stage, group, networks, execution)
    start = learner.restore(state, stage["hash"])
    watch = Watch(stage, state, group, log_every, online, keep)
    watch.begin(start, learner)
    batches = Batches(source, stage, group.rank, group.world)
    stop = StopRequest(execution.deadline)
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        line = step % log_every == 0 or step == steps  # of the curve
        measured = learner.measured_step(step, batch) if line else learner.step(step, batch)
        watch.step(step, measured, learner)
        # Stop only where a line of the curve was written: the resumed curve is then the same.
        code = group.largest(stop.code()) if line and step < steps else 0
        if code or step % checkpoint_every == 0:
            watch.check(step)
            learner.save(state, stage["hash"], step)
        if code:
            group.barrier()  # the first that ends may end the others, and one of them is saving
            raise Interrupted(step, steps, code)
        watch.evaluate(step, learner)
    watch.close()
    average = gathered(learner.ema.state(), group)
    if group.main:
        finished.write(stage, output, learner, average, watch)
    group.barrier()
