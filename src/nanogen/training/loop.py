"""The training loop. It knows nothing of methods, tasks or devices' number."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from nanogen.backbones import build, save
from nanogen.files import atomic_folder, label, write_json
from nanogen.objectives import objective_of
from nanogen.training import checkpoint
from nanogen.training.batches import Batches, Source
from nanogen.training.distributed import Processes, parallel
from nanogen.training.ema import EMA
from nanogen.training.log import TrainingLog
from nanogen.training.schedule import learning_rate

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; its state is saved and the same command continues it."""


class StopRequest:
    """Notes SIGINT and SIGTERM, so that the loop saves before it ends."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not in the main thread: nothing to catch
                signal.signal(number, self._note)

    def _note(self, *_: Any) -> None:
        self.asked = True


def optimizer_of(model: nn.Module, keys: dict[str, Any]) -> torch.optim.AdamW:
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        trained,
        lr=keys["learning_rate"],
        betas=tuple(keys["betas"]),
        weight_decay=keys["weight_decay"],
        fused=True,
    )


def train(
    stage: dict[str, Any],
    source: Source,
    state: Path,
    output: Path,
    group: Processes,
    checkpoint_every: int,
    log_every: int,
    networks: Mapping[str, nn.Module] | None = None,
) -> None:
    """Train the run of a ``train`` stage from its newest checkpoint in ``state`` to the end.

    ``networks`` are those the objective's terms compare with, by term, on the group's device.
    ``output`` becomes the model's folder: config.json, model.safetensors (the average),
    train.jsonl and nanogen.json. Raises Interrupted after a signal, with the state saved.
    """
    training, steps = stage["training"], stage["training"]["steps"]
    keys = training["optimizer"]
    objective = objective_of(stage, networks)
    batches = Batches(source, stage, group.rank, group.world)
    model = build(stage).to(group.device)
    wrapped = parallel(model, group)
    ema, optimizer = EMA(model, training["ema"]), optimizer_of(model, keys)
    start = checkpoint.restore(state, stage["hash"], model, ema, optimizer)
    if training["compile"]:
        for block in model.blocks():
            block.compile()
    curve = None
    if group.main:
        if start:
            log.info("continuing %s on %s after step %d", stage["method"], stage["task"], start)
        checkpoint.truncate_log(state / "train.jsonl", start)
        name = f"{stage['method']} on {stage['task']}"
        curve = TrainingLog(state / "train.jsonl", name, start, steps, log_every, training["batch_size"])
    stop = StopRequest()
    autocast = torch.autocast(group.device.type, torch.bfloat16, enabled=training["precision"] == "bf16")
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        rate = learning_rate(step - 1, keys)
        for parameters in optimizer.param_groups:
            parameters["lr"] = rate
        with autocast:
            losses = objective(wrapped, batch, model.conditioner)
        losses["loss"].backward()
        norm = clip_grad_norm_(model.parameters(), keys["clip"])
        optimizer.step()
        optimizer.zero_grad()
        ema.update(step)
        means = {name: group.mean(value) for name, value in losses.items()}  # of the global batch
        if curve:
            curve.step(step, **means, grad_norm=norm, learning_rate=rate)
        # Stop only where a line of the curve was written: the resumed curve is then the same.
        stopping = step % log_every == 0 and step < steps and group.any(stop.asked)
        if curve and (stopping or step % checkpoint_every == 0):
            curve.check(step)
            checkpoint.save(state, stage["hash"], step, model, ema, optimizer)
        if stopping:
            raise Interrupted(f"stopped after step {step} of {steps}; the same command continues")
    if group.main:
        curve.close()
        write(stage, output, model, ema, state / "train.jsonl")
    group.barrier()


def write(stage: dict[str, Any], output: Path, model: nn.Module, ema: EMA, curve: Path) -> None:
    """The finished model's folder."""
    text = curve.read_text()
    with atomic_folder(output) as folder:
        save(folder, model, ema.state())
        (folder / "train.jsonl").write_text(text)
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
