"""The training loop of a backbone. It is independent of methods, tasks and devices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nanogen.backbones import save
from nanogen.config.train_stage import TrainStage
from nanogen.config.trained import STATE
from nanogen.files import atomic_folder, label, write_json
from nanogen.stage2.batches import Batches, Dataset
from nanogen.stage2.evaluation import Online
from nanogen.stage2.learner import Learner
from nanogen.stage2.monitor import Monitor
from nanogen.training import checkpoint
from nanogen.training.execution import Execution
from nanogen.training.processes import Processes
from nanogen.training.sharding import gathered
from nanogen.training.stopping import Interrupted, StopRequest


def train(
    stage: TrainStage,
    dataset: Dataset,
    *,
    state: Path,
    output: Path,
    group: Processes,
    execution: Execution,
    networks: Mapping[str, nn.Module] | None = None,
    online: Online | None = None,
    initial: Path | None = None,
) -> None:
    """Train the run of a ``train`` stage from its newest checkpoint to the end.

    Args:
        stage: the training.
        dataset: the training data.
        state: the folder of checkpoints and logs.
        output: the model folder to write: config.json, model.safetensors (the averaged weights),
            stage.json, nanogen.json and train.jsonl; online.jsonl if there were evaluations,
            kept.safetensors if the execution has snapshots, and state.safetensors if it keeps the state.
        group: the processes that train together.
        execution: settings that do not change the result, such as sharding and intervals.
        networks: frozen networks that terms of the objective compare with, by term, on the group's
            device.
        online: evaluates the averaged weights during training, on every process.
        initial: the folder of the model that the stage starts from.

    Raises:
        Interrupted: a signal arrived or the deadline is near; the state was saved.
        UserError: a file is missing, belongs to another configuration, or a loss is not finite.
    """
    steps = stage.training.steps
    learner = Learner(stage, group, networks, execution)
    start = learner.restore(state, initial)
    monitor = Monitor(stage, state, group, execution, online)
    monitor.begin(start, learner)
    batches = Batches(dataset, stage, group.rank, group.world)
    stop = StopRequest(execution.deadline)
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        line = step % execution.log_every == 0 or step == steps  # a line of the curve is due
        measured = learner.measured_step(step, batch) if line else learner.step(step, batch)
        monitor.step(step, measured, learner)
        # Stop only after writing a line of the curve: to agree on it takes a communication.
        code = group.largest(stop.code()) if line and step < steps else 0
        if code or step % execution.checkpoint_every == 0:
            learner.save(state, step, monitor.interval(step))
        if code:
            group.barrier()  # the first process to end may end the others while one of them is saving
            raise Interrupted(step, steps, code)
        monitor.evaluate(step, learner)
    monitor.close()
    average = gathered(learner.ema.state(), group)
    kept = learner.state() if execution.keep_state else {}
    if group.main:
        _write_model(stage, output, learner, average, monitor, kept)
    group.barrier()


def _write_model(
    stage: TrainStage,
    output: Path,
    learner: Learner,
    average: dict[str, Tensor],
    monitor: Monitor,
    kept: dict[str, Tensor],
) -> None:
    """Write the model folder of a finished training; the state only if ``kept`` is not empty."""
    curve = monitor.logs[0].read_text()
    with atomic_folder(output) as folder:
        save(folder, learner.model, average)
        if kept:
            checkpoint.write(folder / STATE, stage.hash, stage.training.steps, kept)
        if monitor.snapshots:
            monitor.snapshots.write(folder)
        for file in monitor.logs:
            (folder / file.name).write_text(file.read_text())
        write_json(folder / "stage.json", stage.content)
        parameters = sum(p.numel() for p in learner.model.parameters())
        card = label("model", 1, stage.hash, name=stage.method, kind="backbone")
        quality = {"parameters": parameters, **_totals(curve)}
        write_json(folder / "nanogen.json", {**card, "quality": quality})


def _totals(curve: str) -> dict[str, float]:
    lines = [json.loads(line) for line in curve.splitlines()]
    seconds = sum(line["seconds"] for line in lines)
    images = sum(line["seconds"] * line["images_per_second"] for line in lines)
    return {
        "loss": lines[-1]["loss"],
        "seconds": round(seconds, 1),
        "images_per_second": round(images / max(seconds, 1e-9), 1),
    }
