"""The training curve: one JSON line per interval, a bar on a terminal, quiet lines elsewhere."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from nanogen.errors import UserError
from nanogen.progress.lines import duration
from nanogen.training.machine import Machine

log = logging.getLogger(__name__)


class TrainingLog:
    """Collects the steps' values on the device and reads them once per interval.

    Reading a value waits for the device; doing it every step would stall it. A value that only some
    steps of an interval have is their mean.

    Args:
        machine: what the training runs on.
        rate: key of the learning rate, which is to be lowered where a value is not finite.

    Attributes:
        listen: told every line.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        start: int,
        steps: int,
        every: int,
        batch_size: int,
        machine: Machine,
        rate: str = "training.optimizer.learning_rate",
    ):
        self.path, self.name, self.rate = path, name, rate
        self.listen: Callable[[dict[str, float]], None] = lambda line: None
        self.steps, self.every, self.batch_size = steps, every, batch_size
        self.machine = machine
        self.bar = tqdm(
            total=steps, initial=start, desc=name, unit="step", disable=not sys.stderr.isatty()
        )
        self.pending: list[dict[str, Tensor | float]] = []
        self.began = time.monotonic()
        self.next_line = self.began

    def step(self, step: int, **values: Tensor | float) -> None:
        """Note the values of ``step`` (counted from 1)."""
        self.pending.append(
            {key: v.detach() if isinstance(v, Tensor) else v for key, v in values.items()}
        )
        self.bar.update()
        if step % self.every == 0 or step == self.steps:
            self._write(step)

    def _write(self, step: int) -> None:
        now = time.monotonic()
        line: dict[str, float] = {"step": step}
        for key in dict.fromkeys(key for values in self.pending for key in values):
            noted = [float(values[key]) for values in self.pending if key in values]
            line[key] = sum(noted) / len(noted)
        line["seconds"] = now - self.began
        line["images_per_second"] = len(self.pending) * self.batch_size / max(now - self.began, 1e-9)
        self.check(step)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.listen(line)
        self.bar.set_postfix(loss=f"{line['loss']:.4f}")
        if self.bar.disable and (now >= self.next_line or step == self.steps):
            left = (self.steps - step) * (now - self.began) / len(self.pending)
            log.info(
                "%s: step %d/%d, loss %.4f, %s%s",
                self.name, step, self.steps, line["loss"],
                self.machine.described(line["images_per_second"]),
                f", about {duration(left)} left" if step < self.steps else "",
            )  # fmt: skip
            self.next_line = now + 15
        self.pending = []
        self.began = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside does not count as time of training."""
        began = time.monotonic()
        yield
        self.began += time.monotonic() - began

    def check(self, step: int) -> None:
        """Raise UserError if a loss or a gradient since the last line is not finite.

        Called before every line and every checkpoint, so that neither is made of such weights.
        """
        for at, values in enumerate(self.pending, step - len(self.pending) + 1):
            for key, value in values.items():
                if not math.isfinite(value):
                    raise UserError(
                        f"{self.name}: the {key.replace('_', ' ')} is {float(value)} at step {at}; "
                        f"the last checkpoint is kept. Lower {self.rate}, or look at the data"
                    )

    def close(self) -> None:
        self.bar.close()
