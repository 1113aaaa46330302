"""The sizes and cases of bench/training.py, and the worker that runs one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from plain import PlainLearner, plain_network, plain_samples, randomise
from torch.utils.flop_counter import FlopCounterMode
from training_data import Data

from nanogen.__main__ import collect_less_garbage
from nanogen.backbones import Condition
from nanogen.config import load_study, stages
from nanogen.config.train_stage import TrainStage
from nanogen.objectives import PREDICTIONS
from nanogen.objectives.batch import Batch
from nanogen.objectives.meanflow import FlowMatchingSteps
from nanogen.sampling.solvers import Guidance, integrate, time_grid
from nanogen.stage2.batches import Batches
from nanogen.stage2.learner import Learner
from nanogen.training.heap import keep_in_large_pages
from nanogen.training.processes import Processes

STEPS = 4  # sampling steps
SCALE = 2.0  # guidance scale


@dataclass(frozen=True)
class Size:
    """A network's size and its batch."""

    encoder: tuple[int, int, int]  # width, depth, heads
    decoder: tuple[int, int, int]
    latent: tuple[int, int, int]
    patch: int
    batch: int
    text: int  # most tokens of a text; texts have a third of them to all
    text_width: int


SIZES = {
    "tiny": Size((24, 1, 2), (32, 1, 2), (4, 8, 8), 2, 4, 8, 16),
    "nano": Size((96, 4, 4), (128, 1, 4), (4, 8, 8), 2, 16, 24, 96),
    "middle": Size((384, 12, 6), (768, 2, 12), (4, 32, 32), 2, 4, 64, 384),
    "paper": Size((1152, 28, 16), (2048, 2, 16), (4, 32, 32), 2, 64, 256, 1024),
}


@dataclass(frozen=True)
class Case:
    """What is measured: size, condition, objective or sampler, and where latents come from."""

    size: str
    condition: str = "labels"  # or text
    work: str = "flow matching"  # or meanflow, sampling
    source: str = "cache"  # or online
    compiled: bool = False
    precision: str = "float32"

    @property
    def name(self) -> str:
        parts = [self.size, self.condition, self.work]
        parts += [self.source] if self.work != "sampling" else []
        return ", ".join([*parts, *(["compiled"] if self.compiled else [])])


def stage_of(case: Case) -> TrainStage:
    size = SIZES[case.size]
    method = "meanflow" if case.work == "meanflow" else "sd-vae-mse"
    stage = stages.train(load_study("nano"), method, "t2i" if case.condition == "text" else "imagenet")
    names = ("width", "depth", "heads")
    backbone = {"patch": size.patch}
    for part, values in (("encoder", size.encoder), ("decoder", size.decoder)):
        backbone |= {f"{part}_{name}": v for name, v in zip(names, values, strict=True)}
    training = {
        "batch_size": size.batch,
        "noise_chunk": min(size.batch, 32),
        "precision": case.precision,
        "compile": case.compiled,
    }
    text = case.condition == "text"
    return TrainStage.from_json(
        {
            **stage,
            "latent": list(size.latent),
            "text_width": size.text_width if text else None,
            "conditioner": stage["conditioner"] | ({"tokens": size.text} if text else {}),
            "backbone": stage["backbone"] | backbone,
            "training": stage["training"] | training,
        }
    )


class Worker:
    """One variant of a case: ``ours`` or ``plain``; ``measure(kind)`` times steps of that kind."""

    def __init__(
        self,
        case: Case,
        variant: str,
        device: torch.device,
        block: float = 0.0,
        group: Processes | None = None,
    ):
        self.case, self.device, self.block = case, device, block
        self.ours = variant == "ours"
        self.spent: dict[str, float] = {}
        if self.ours:
            collect_less_garbage()
        if device.type == "cpu" and self.ours:
            keep_in_large_pages()
        self.before = self._memory()
        self.stage = stage_of(case)
        group = group or Processes(0, 1, device)
        data = Data(self.stage, device, case.source == "online")
        self.learner: Any
        if self.ours:
            self.learner = Learner(self.stage, group)
            randomise(self.learner.model)
        else:
            self.learner = PlainLearner(self.stage, device)
        if case.work == "sampling":
            self.sample = self._sampler(data)
            return
        self.batches = Batches(data, self.stage)
        self.step = 0
        self.coming = self._coming()
        self._instrument()

    def _coming(self) -> Iterator[Batch]:
        if self.ours:
            yield from self.batches.prefetched(0, 10**6, self.device)
        for step in range(10**6):
            yield self.batches.at(step).to(self.device)

    def _sampler(self, data: Data) -> Callable[[], Any]:
        count = 2 * SIZES[self.case.size].batch
        generator = torch.Generator().manual_seed(2)
        noise = torch.randn(count, *self.stage.latent, generator=generator).to(self.device)
        condition = data.condition(np.arange(count)).to(self.device)
        grid, model = time_grid(STEPS, 1.0), self.learner.model.eval()
        if self.ours:
            guidance = Guidance(SCALE)
            return partial(integrate, model, PREDICTIONS["v"], noise, condition, grid, guidance)
        return partial(plain_samples, model, noise, condition, grid, SCALE)

    def _instrument(self) -> None:
        """Record the time of the forward pass, and of the optimizer and the average."""
        learner = self.learner
        learner.objective = self._timed("forward", learner.objective)
        learner.optimizer.step = self._timed("optimizer", learner.optimizer.step)
        averaging = learner.ema if self.ours else learner
        averaging.update = self._timed("optimizer", averaging.update)

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keys: Any) -> Any:
            began = self.now()
            result = function(*args, **keys)
            self.spent[part] = self.spent.get(part, 0.0) + self.now() - began
            return result

        return call

    def now(self) -> float:
        """Seconds of wall time on a GPU, of processor time on a CPU, where other work may run."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def measure(self, kind: str) -> dict[str, float]:
        """Return the mean seconds of steps of this kind, in total and by part.

        There are as many steps as take ``block`` seconds, but at least one: single short steps vary.
        """
        steps = [self._step(kind)]
        while sum(step["whole"] for step in steps) < self.block:
            steps.append(self._step(kind))
        return {part: mean(step[part] for step in steps) for part in steps[0]}

    def _step(self, kind: str) -> dict[str, float]:
        """Return the seconds of the next step of this kind, in total and by part."""
        if self.case.work == "sampling":
            began = self.now()
            with self._autocast():
                self.sample()
            return {"whole": self.now() - began}
        while True:
            began = self.now()
            batch = next(self.coming)
            data = self.now() - began
            self.spent = {}
            self.step += 1
            self.losses = self.learner.step(self.step, batch)
            whole = self.now() - began
            if kind in ("", self.kind_of(batch.step)):
                rest = whole - data - sum(self.spent.values())
                return {"whole": whole, "data": data, "backward": rest, **self.spent}

    def kind_of(self, step: int) -> str:
        if self.case.work != "meanflow":
            return ""
        share, seed = self.stage.objective.meanflow.share, self.stage.steps_seed
        assert seed is not None
        return "flow" if step in FlowMatchingSteps(share, seed) else "derivative"

    def _autocast(self) -> AbstractContextManager:
        bf16 = self.case.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

    def _memory(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return 0.0
        return resident("VmRSS")

    def mebibytes(self) -> float:
        """Peak memory beyond that of the libraries, in MiB."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resident("VmHWM") - self.before

    def about(self) -> dict[str, Any]:
        parameters = sum(p.numel() for p in self.learner.model.parameters())
        return {**asdict(self.case), "parameters": parameters, "mebibytes": self.mebibytes()}


def resident(key: str) -> float:
    """Resident (VmRSS) or peak resident (VmHWM) MiB of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


def flops(case: Case) -> float:
    """Floating-point operations of a training step's matrix products, without recomputation."""
    stage, meta = stage_of(case), torch.device("meta")
    with torch.device("meta"):
        model = plain_network(stage, meta)
    size = SIZES[case.size]
    x = torch.empty(size.batch, *size.latent, device=meta)
    t = torch.empty(size.batch, device=meta)
    if case.condition == "text":
        tokens = torch.empty(size.batch, size.text * 2 // 3, size.text_width, device=meta)
        mask = torch.empty(tokens.shape[:2], dtype=torch.bool, device=meta)
        condition = Condition(tokens=tokens, mask=mask)
    else:
        condition = Condition(labels=torch.empty(size.batch, dtype=torch.int64, device=meta))
    with FlopCounterMode(display=False) as counter:
        model(x, t, condition).image.sum().backward()
    return float(counter.get_total_flops())
