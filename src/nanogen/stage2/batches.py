"""Training batches, whose random numbers depend only on the step and the position in the batch.

The global batch is split into chunks of ``noise_chunk`` samples. All random numbers of a chunk come from
one seed, derived from (seed, method, task, step, chunk); noise is drawn on the training device
(`nanogen.training.draws`). The order of the data follows from seed and epoch (`nanogen.data.order`). A
run therefore resumes exactly from its step number alone, and draws the same numbers on any number of
processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones.embeddings import Condition
from nanogen.config.train_stage import TrainStage
from nanogen.data.order import Order, Window
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.objectives.batch import Batch
from nanogen.training.draws import CPU, generators
from nanogen.training.prefetch import prefetched

FLOAT16 = 2  # bytes


class Dataset(Protocol):
    """Training data by index."""

    def __len__(self) -> int: ...

    def load(self, rows: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Condition]:
        """Return the samples ``rows`` (B,) and their conditions.

        ``draws`` (B,), uniform in [0, 1), choose among the captions.
        """
        ...

    def features(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Return the features that the objective needs: ``cls``, ``patches`` (see Batch), or none."""
        ...

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        """Announce which rows come next, so that they can be read early.

        ``windows`` maps the number of a window to its rows, in ascending order.
        """
        ...


class Batches:
    """The batches of one process, by step.

    Raises UserError if the processes cannot share the chunks of a batch equally.
    """

    def __init__(self, source: Dataset, stage: TrainStage, rank: int = 0, world: int = 1):
        training = stage.training
        self.source = source
        self.shape = stage.latent
        self.cls_width = stage.heads.cls_width
        self.identity = (stage.seed, "train", stage.method, stage.task)
        self.global_size, self.chunk = training.batch_size, training.noise_chunk
        chunks = self.global_size // self.chunk
        if chunks % world:
            raise UserError(
                f"training.batch_size {self.global_size} has {chunks} chunks of "
                f"{self.chunk} samples, which {world} processes cannot share equally; choose a "
                "number of processes that divides it, or change training.noise_chunk"
            )
        self.chunks = range(rank * chunks // world, (rank + 1) * chunks // world)
        # The size of a sample as the backbone sees it: the order does not depend on how it is stored.
        self.order = Order(len(source), FLOAT16 * math.prod(self.shape), *self.identity)
        self._announced: dict[int, np.ndarray] = {}

    def at(self, step: int, device: torch.device = CPU) -> Batch:
        """Return this process's share of the batch of ``step``, on ``device``."""
        rows = self.order.rows(*self._places(step))
        drawn = [self._draws(step, chunk, device) for chunk in self.chunks]
        noise, normal, uniform, choice, other, *cls = (
            torch.cat(part) for part in zip(*drawn, strict=True)
        )
        x, condition = self.source.load(rows, choice.numpy())
        added = self.source.features(rows) | dict(zip(["cls_noise"], cls, strict=False))
        return Batch(x, noise, normal, uniform, other, condition, step, **added).to(device)

    def _places(self, step: int) -> tuple[int, int]:
        """Return the start and length of this process's share of a step in the training sequence."""
        start = step * self.global_size + self.chunks.start * self.chunk
        return start, len(self.chunks) * self.chunk

    def announce(self, step: int) -> None:
        """Tell the source which windows the step reads; if it is only one, add the next window."""
        start, count = self._places(step)
        windows = list(self.order.windows_of(start, start + count))
        if len(windows) == 1:
            windows += self.order.windows_of(windows[0].stop, windows[0].stop + 1)
        if {window.number for window in windows} != self._announced.keys():
            self._announced = {w.number: self._share(w) for w in windows}
            self.source.ahead(self._announced)

    def _share(self, window: Window) -> np.ndarray:
        """Return the rows of a window that this process reads, in ascending order."""
        places = np.arange(window.start, window.stop)
        chunks = places % self.global_size // self.chunk
        mine = (chunks >= self.chunks.start) & (chunks < self.chunks.stop)
        return np.sort(self.order.rows(window.start, len(places))[mine])

    def _draws(self, step: int, chunk: int, device: torch.device) -> tuple[Tensor, ...]:
        host, many = generators(seed_for(*self.identity, step, chunk), device)
        return (
            torch.randn(self.chunk, *self.shape, generator=many, device=device),
            torch.randn(self.chunk, generator=host),
            torch.rand(self.chunk, generator=host),
            torch.rand(self.chunk, generator=host),
            torch.randn(self.chunk, generator=host),
            *self._cls_noise(many, device),
        )

    def _cls_noise(self, generator: torch.Generator, device: torch.device) -> list[Tensor]:
        """Draw noise for the class token, last, so that the other draws are the same without REG."""
        if self.cls_width is None:
            return []
        return [torch.randn(self.chunk, self.cls_width, generator=generator, device=device)]

    def prefetched(self, start: int, stop: int, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of steps start..stop-1, which a thread prepares while a step runs."""

        def make(step: int) -> Batch:
            self.announce(step)
            return self.at(step, device)

        return prefetched(make, range(start, stop), device)
