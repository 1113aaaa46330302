"""Check that training on a device gives the right results; each check prints one line."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from plain import randomise
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from training_cases import Case, stage_of
from training_data import Data

from nanogen.backbones import build
from nanogen.config.train_stage import TrainStage
from nanogen.objectives import objective_of
from nanogen.stage2.batches import Batches
from nanogen.stage2.learner import Learner
from nanogen.training import checkpoint
from nanogen.training.optimizer import optimizer_of
from nanogen.training.processes import Processes
from nanogen.training.sharding import SHARDINGS

STEPS = 6
BF16 = 0.02  # relative difference of the losses
COMPILED = 0.01
SHARDED = 1e-4


@dataclass(frozen=True)
class Check:
    """What was compared, the difference and its upper bound."""

    what: str
    difference: float
    bound: float

    @property
    def right(self) -> bool:
        return self.difference <= self.bound

    def __str__(self) -> str:
        verdict = "right" if self.right else "WRONG"
        return f"{self.what}: differ by {self.difference:.1e}, bound {self.bound:.1e}, {verdict}"


def checks(size: str, device: torch.device) -> list[Check]:
    """Run every check at a size of bench/training.py."""
    case = Case(size, "text")
    made = [replace(case, precision="bf16"), replace(case, precision="bf16", compiled=True)]
    exact, rounded, compiled = (losses(stage_of(c), device) for c in (case, *made))
    return [
        Check("losses in bfloat16 and in float32", relative(rounded, exact), BF16),
        Check("losses compiled and as written", relative(compiled, rounded), COMPILED),
        Check("losses sharded and replicated", sharded(stage_of(case), device), SHARDED),
        Check("a training resumed and undisturbed", resumed(stage_of(case), device), 0.0),
        Check("noise of one process and of two", divided(stage_of(case), device), 0.0),
        Check("latents encoded beside a step and alone", encoded(stage_of(made[0]), device), 0.0),
    ]


def relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected) / expected).abs().max())


def begun(stage: TrainStage, device: torch.device) -> tuple[Learner, Batches]:
    learner = Learner(stage, Processes(0, 1, device))
    randomise(learner.model)
    return learner, Batches(Data(stage, device), stage)


def losses(stage: TrainStage, device: torch.device) -> Tensor:
    """Losses of the first steps."""
    learner, batches = begun(stage, device)
    torch.manual_seed(0)  # for the text features
    steps = [learner.step(n + 1, batches.at(n, device))["loss"] for n in range(STEPS)]
    return torch.stack(steps).cpu()


def sharded(stage: TrainStage, device: torch.device) -> float:
    """Relative difference of the losses between a sharded and a replicated network, on one process."""
    with tempfile.NamedTemporaryFile() as store:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{store.name}-store",
            rank=0,
            world_size=1,
        )
        try:
            replicated, parts = (of_shared(stage, device, s) for s in ("none", "fsdp"))
        finally:
            dist.destroy_process_group()
    return relative(parts, replicated)


def of_shared(stage: TrainStage, device: torch.device, sharding: str) -> Tensor:
    model = build(stage).to(device)
    randomise(model)
    network = SHARDINGS[sharding](model, Processes(0, 1, device))
    optimizer, objective = optimizer_of(model, stage.training.optimizer), objective_of(stage)
    batches, found = Batches(Data(stage, device), stage), []
    torch.manual_seed(0)
    for step in range(STEPS):
        loss = objective(network, batches.at(step, device), model.conditioner)["loss"]
        loss.backward()
        clip_grad_norm_(model.parameters(), stage.training.optimizer.clip)
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.detach())
    return torch.stack(found).cpu()


def resumed(stage: TrainStage, device: torch.device) -> float:
    """Largest difference in loss, weights and moments of a resumed training after its next step."""
    learner, batches = begun(stage, device)
    learner.step(1, batches.at(0, device))
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        with checkpoint.locked(state):
            learner.save(state, 1)
            other = Learner(stage, Processes(0, 1, device))
            assert other.restore(state) == 1
    pairs = [(learner.state(), other.state())]
    batch = batches.at(1, device)
    first, second = (x.step(2, batch)["loss"] for x in (learner, other))
    kept = ((a[name] - b[name]).abs().max() for a, b in pairs for name in a)
    return max(float((first - second).abs()), *(float(value) for value in kept))


def encoded(stage: TrainStage, device: torch.device) -> float:
    """Largest difference between latents that are encoded while steps run and alone."""
    learner = Learner(stage, Processes(0, 1, device))
    batches, found = Batches(Data(stage, device, online=True), stage), []
    for step, batch in enumerate(batches.prefetched(0, STEPS, device)):
        learner.step(step + 1, batch)
        found.append(batch.x.clone())
    alone = (batches.at(step, device).x for step in range(STEPS))
    return max(float((a - b).abs().max()) for a, b in zip(found, alone, strict=True))


def divided(stage: TrainStage, device: torch.device) -> float:
    """Largest difference between a batch's noise drawn by one process and by two that share it."""
    training = stage.training.model_copy(update={"noise_chunk": stage.training.batch_size // 2})
    stage = replace(stage, training=training)
    data = Data(stage, device)
    whole = Batches(data, stage).at(0, device).noise
    parts = [Batches(data, stage, rank, 2).at(0, device).noise for rank in range(2)]
    return float((torch.cat(parts) - whole).abs().max())
