"""The state that an optimizer step updates: a network, its averaged weights and its optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nanogen.backbones import build
from nanogen.backbones.compilation import compile_blocks
from nanogen.config.train_stage import TrainStage
from nanogen.objectives import objective_of
from nanogen.objectives.batch import Batch
from nanogen.stage2.start import starting_tensors
from nanogen.training import checkpoint
from nanogen.training.ema import EMA
from nanogen.training.execution import Execution
from nanogen.training.optimizer import optimizer_of
from nanogen.training.processes import Processes
from nanogen.training.schedule import learning_rate
from nanogen.training.sharding import accumulating, gathered, parallel, whole

WHOLE = Execution()  # no sharding, no gradient accumulation, no deadline


class Learner:
    """A network, its averaged weights and its optimizer, trained one step at a time."""

    def __init__(
        self,
        stage: TrainStage,
        group: Processes,
        networks: Mapping[str, nn.Module] | None = None,
        execution: Execution = WHOLE,
    ):
        training, self.stage = stage.training, stage
        self.keys, self.group, self.micro_batch = training.optimizer, group, execution.micro_batch
        self.objective = objective_of(stage, networks)
        self.model = build(stage).to(group.device)
        self.model.train_frequencies(training.frequencies == "trained")
        if training.compile and group.device.type == "cuda":
            compile_blocks(self.model)
        # Before the EMA is created: this makes the weights equal on all processes.
        self.wrapped = parallel(self.model, group, execution.sharding)
        self.parameters = list(self.model.parameters())
        self.ema = EMA(self.model, training.ema, training.ema_warmup)
        self.optimizer = optimizer_of(self.model, self.keys)
        self.learned = checkpoint.Learned(self.model, self.optimizer, self.ema)
        bf16 = training.precision == "bf16"
        self.autocast = torch.autocast(group.device.type, torch.bfloat16, enabled=bf16)

    def restore(self, state: Path, initial: Path | None = None) -> int:
        """Load the newest checkpoint in ``state``; returns its step, or 0 if there is none.

        ``initial`` is the folder of the model that the stage starts from. Raises UserError as
        `nanogen.training.checkpoint.newest` and `starting_tensors` do.
        """
        start, tensors = checkpoint.newest(state, self.stage.hash, self.group)
        tensors = tensors or starting_tensors(self.stage, initial)
        if tensors:
            self.learned.load(tensors)
        return start

    def save(self, state: Path, step: int, interval: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint. All processes must call this; the main one writes.

        ``interval`` is as in `nanogen.training.checkpoint.save`.
        """
        tensors = self.state()
        if self.group.main:
            checkpoint.save(state, self.stage.hash, step, tensors, interval)

    def state(self) -> dict[str, Tensor]:
        """Return the content of a checkpoint on the main process; all processes must call this."""
        return gathered(self.learned.state(), self.group)

    def average(self) -> dict[str, Tensor]:
        """Return the unsharded averaged weights on every process; all processes must call this."""
        return {name: whole(value) for name, value in self.ema.state().items()}

    def step(self, step: int, batch: Batch) -> dict[str, Any]:
        """Train on one batch.

        Returns the named losses of the global batch, the gradient norm and the learning rate.
        """
        measured = self._gradients(batch)
        return {**measured, "learning_rate": self._update(step)}

    def measured_step(self, step: int, batch: Batch) -> dict[str, Any]:
        """Run `step` and add ``update``, the relative change of the weights.

        The weights are copied when the activations are freed, so that a step's peak of memory is the
        same.
        """
        measured = self._gradients(batch)
        before = weights_of(self.model)
        rate = self._update(step)
        return {**measured, "learning_rate": rate, "update": update_size(before, self.model)}

    def _gradients(self, batch: Batch) -> dict[str, Any]:
        """Compute clipped gradients; return the named losses of the global batch and ``grad_norm``."""
        parts = batch.parts(self.micro_batch)
        losses = [self._add_gradients(part, len(parts), part is not parts[-1]) for part in parts]
        norm = whole(clip_grad_norm_(self.parameters, self.keys.clip))
        sums = {name: reduce(torch.add, [part[name] for part in losses]) for name in losses[0]}
        return {**self.group.means(sums), "grad_norm": norm}

    def _update(self, step: int) -> float:
        """Update the weights and their average with the gradients; return the learning rate."""
        rate = learning_rate(step - 1, self.keys)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(step)
        return rate

    def _add_gradients(self, part: Batch, parts: int, more: bool) -> dict[str, Tensor]:
        """Add the gradients of one of ``parts`` equal parts; returns its share of each mean loss."""
        with accumulating(self.wrapped, more):
            with self.autocast:
                losses = self.objective(self.wrapped, part, self.model.conditioner)
            (losses["loss"] / parts).backward()
        return {name: value.detach() / parts for name, value in losses.items()}


def weights_of(model: nn.Module) -> list[Tensor]:
    """Copy the trainable weights, which takes as much memory as they do."""
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


def update_size(before: list[Tensor], model: nn.Module) -> Tensor:
    """Return the norm of the change since ``weights_of``, relative to the norm of the weights; a scalar.

    ``before`` is overwritten, because a list of changes would take as much memory again. If the network
    is sharded, all processes must call this.
    """

    def norm() -> Tensor:
        return whole(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(before))))

    size = norm()
    torch._foreach_sub_(before, [p.detach() for p in model.parameters() if p.requires_grad])
    return norm() / size
