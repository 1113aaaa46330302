"""The training curve: a JSON line per interval, and a progress bar on a terminal or log lines."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from nanogen.errors import UserError
from nanogen.progress.lines import duration
from nanogen.training.machine import Machine

log = logging.getLogger(__name__)


class TrainingLog:
    """Collect the values of steps on the device and read them once per interval.

    Reading a value waits for the device, so reading at every step would stall it. A line holds the mean
    of each value over the steps of the interval that have it.

    Args:
        path: the file of the curve, to which lines are appended.
        name: the training's name in log lines.
        start: the step after which the training continues.
        steps: the number of steps of the training.
        every: the number of steps between lines.
        batch_size: images per step, over all processes.
        machine: the machine that the training runs on.
        rate: the configuration key of the learning rate; the error for a value that is not finite says
            to lower it.

    Attributes:
        listen: called with every line.
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
        self.pending: list[Mapping[str, Tensor | float]] = []
        self.began = time.monotonic()
        self.next_line = self.began

    def step(self, step: int, **values: Tensor | float) -> None:
        """Record the values of ``step`` (counted from 1)."""
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
        """Do not count the time inside the block as training time."""
        began = time.monotonic()
        yield
        self.began += time.monotonic() - began

    def check(self, step: int) -> None:
        """Raise UserError if a loss or a gradient since the last line is not finite.

        Call it before every line and checkpoint, so that neither is written from such weights.
        """
        for at, values in enumerate(self.pending, step - len(self.pending) + 1):
            for key, value in values.items():
                if not math.isfinite(value):
                    raise UserError(
                        f"{self.name}: the {key.replace('_', ' ')} is {float(value)} at step {at}; "
                        f"the last checkpoint is kept. Lower {self.rate}, or look at the data"
                    )

    def interval(self, step: int) -> dict[str, Any]:
        """Return what was recorded since the last line, as JSON, for the checkpoint after ``step``.

        Raises UserError as `check` does.
        """
        self.check(step)
        values = [{key: float(value) for key, value in values.items()} for values in self.pending]
        return {"values": values, "seconds": time.monotonic() - self.began} if values else {}

    def resume(self, interval: Mapping[str, Any]) -> None:
        """Continue what `interval` returned: the next line is that of an undisturbed training."""
        self.pending = list(interval.get("values", []))
        self.began -= interval.get("seconds", 0.0)

    def close(self) -> None:
        self.bar.close()
