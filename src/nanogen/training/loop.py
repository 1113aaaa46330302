"""The training loop. It knows nothing of methods, tasks, devices, or how processes share the network."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nanogen.backbones import build, save
from nanogen.files import atomic_folder, label, write_json
from nanogen.objectives import objective_of
from nanogen.training import checkpoint
from nanogen.training.batches import Batch, Batches, Source
from nanogen.training.distributed import Processes
from nanogen.training.ema import EMA
from nanogen.training.kept import Kept
from nanogen.training.log import TrainingLog
from nanogen.training.online import Online
from nanogen.training.schedule import learning_rate
from nanogen.training.sharding import accumulating, gathered, parallel, whole
from nanogen.training.stopping import Interrupted, StopRequest
from nanogen.training.update_size import update_size, weights_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """How a training is carried out; none of it changes the result but for rounding.

    Attributes:
        sharding: how processes share the network (`nanogen.training.sharding`).
        micro_batch: the most samples that a process takes at a time; 0: its whole share of the batch.
        deadline: UNIX time before which it saves and ends; None: any.
    """

    sharding: str = "none"
    micro_batch: int = 0
    deadline: float | None = None


def optimizer_of(model: nn.Module, keys: dict[str, Any]) -> torch.optim.AdamW:
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        trained,
        lr=keys["learning_rate"],
        betas=tuple(keys["betas"]),
        weight_decay=keys["weight_decay"],
        fused=True,
    )


class Learner:
    """What an optimizer step changes: the network, its average, the optimizer's moments."""

    def __init__(
        self,
        stage: dict[str, Any],
        group: Processes,
        networks: Mapping[str, nn.Module] | None = None,
        execution: Execution = Execution(),
    ):
        training = stage["training"]
        self.keys, self.group, self.micro_batch = training["optimizer"], group, execution.micro_batch
        self.objective = objective_of(stage, networks)
        self.model = build(stage).to(group.device)
        if training["compile"] and group.device.type == "cuda":
            compile_blocks(self.model)
        # Before the average, which it makes equal everywhere.
        self.wrapped = parallel(self.model, group, execution.sharding)
        self.ema, self.optimizer = EMA(self.model, training["ema"]), optimizer_of(self.model, self.keys)
        self.learned = checkpoint.Learned(self.model, self.optimizer, self.ema)
        bf16 = training["precision"] == "bf16"
        self.autocast = torch.autocast(group.device.type, torch.bfloat16, enabled=bf16)

    def restore(self, state: Path, hash_: str) -> int:
        """Continue from the newest checkpoint in ``state``; returns its step, 0 without one."""
        start, tensors = checkpoint.newest(state, hash_)
        if start:
            self.learned.load(tensors)
        return start

    def save(self, state: Path, hash_: str, step: int) -> None:
        """Write a checkpoint; all processes take part, the main one writes."""
        tensors = gathered(self.learned.state(), self.group)
        if self.group.main:
            checkpoint.save(state, hash_, step, tensors)

    def average(self) -> dict[str, Tensor]:
        """The averaged weights, whole, on every process; all of them must ask."""
        return {name: whole(value) for name, value in self.ema.state().items()}

    def step(self, step: int, batch: Batch) -> dict[str, Any]:
        """Learn from one batch; the named losses of the global batch, gradient norm, learning rate."""
        rate = learning_rate(step - 1, self.keys)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        parts = batch.parts(self.micro_batch)
        losses = [self._add_gradients(part, len(parts), part is not parts[-1]) for part in parts]
        norm = whole(clip_grad_norm_(self.model.parameters(), self.keys["clip"]))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(step)
        means = {name: self.group.mean(sum(part[name] for part in losses)) for name in losses[0]}
        return {**means, "grad_norm": norm, "learning_rate": rate}

    def _add_gradients(self, part: Batch, parts: int, more: bool) -> dict[str, Tensor]:
        """Those of one of as many equal ``parts``; what it adds to the mean of every loss."""
        with accumulating(self.wrapped, more):
            with self.autocast:
                losses = self.objective(self.wrapped, part, self.model.conditioner)
            (losses["loss"] / parts).backward()
        return {name: value.detach() / parts for name, value in losses.items()}


def compile_blocks(model: nn.Module, backend: str = "inductor") -> None:
    """Compile what each block computes, inside of the hooks by which sharding gathers its weights."""
    for block in model.blocks():
        block.forward = torch.compile(block.forward, backend=backend)


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
    execution: Execution = Execution(),
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
    logs = [state / "train.jsonl"]
    if online:
        logs.append(state / "online.jsonl")
        online.begin(logs[-1], start, learner.average())
    curve = _curve(stage, state, start, log_every) if group.main else None
    kept = None if keep is None else Kept(keep, state, stage["hash"], group)
    if kept:
        kept.begin(start)
    batches = Batches(source, stage, group.rank, group.world)
    stop = StopRequest(execution.deadline)
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        before = weights_of(learner.model) if step % log_every == 0 or step == steps else None
        measured = learner.step(step, batch)
        if before is not None:  # once per line of the curve, as copying the weights takes time
            measured["update"] = update_size(before, learner.model)
        if curve:
            curve.step(step, **measured)
        if kept:
            kept(step, learner.ema.state())
        # Stop only where a line of the curve was written: the resumed curve is then the same.
        code = group.largest(stop.code()) if step % log_every == 0 and step < steps else 0
        if code or step % checkpoint_every == 0:
            if curve:
                curve.check(step)
            learner.save(state, stage["hash"], step)
        if code:
            group.barrier()  # the first that ends may end the others, and one of them is saving
            raise Interrupted(step, steps, code)
        if online and online.due(step):
            if curve:
                curve.check(step)  # which also waits for the device, whose steps are training time
            with curve.paused() if curve else nullcontext():
                online(step, learner.average())
    average = gathered(learner.ema.state(), group)
    if curve:
        curve.close()
        write(stage, output, learner.model, average, logs, kept)
    group.barrier()


def _curve(stage: dict[str, Any], state: Path, start: int, log_every: int) -> TrainingLog:
    """The training log, continued after step ``start``."""
    if start:
        log.info("continuing %s on %s after step %d", stage["method"], stage["task"], start)
    file = state / "train.jsonl"
    checkpoint.truncate_log(file, start)
    name, training = f"{stage['method']} on {stage['task']}", stage["training"]
    return TrainingLog(file, name, start, training["steps"], log_every, training["batch_size"])


def write(
    stage: dict[str, Any],
    output: Path,
    model: nn.Module,
    weights: dict[str, Tensor],
    logs: Sequence[Path],
    kept: Kept | None = None,
) -> None:
    """The finished model's folder, of averaged weights; the first of the ``logs`` is the curve."""
    text = logs[0].read_text()
    with atomic_folder(output) as folder:
        save(folder, model, weights)
        if kept:
            kept.write(folder)
        for file in logs:
            (folder / file.name).write_text(file.read_text())
        write_json(folder / "stage.json", stage)
        quality = {"parameters": sum(p.numel() for p in model.parameters()), **_totals(text)}
        card = label("model", 1, stage["hash"], name=stage["method"], kind="backbone")
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
