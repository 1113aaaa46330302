"""The input of an objective: one process's share of a global batch, with all its random numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from nanogen.backbones.embeddings import Condition
from nanogen.transfer import sent

# kept on the CPU, which needs the times and the dropped conditions without waiting for a GPU
ON_HOST = ("normal", "uniform", "other_normal")


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch of B samples."""

    x: Tensor  # (B, C, H, W) float32, data
    noise: Tensor  # (B, C, H, W) standard normal
    normal: Tensor  # (B,) standard normal, from which times are drawn; on the CPU
    uniform: Tensor  # (B,) in [0, 1), decides which conditions are dropped; on the CPU
    other_normal: Tensor  # (B,) standard normal, for MeanFlow's second times; on the CPU
    condition: Condition
    step: int  # from 0, the same on every process
    cls: Tensor | None = None  # (B, Z) a frozen encoder's class token of x (REG)
    cls_noise: Tensor | None = None  # (B, Z) standard normal
    patches: Tensor | None = None  # (B, W, rows, columns) its patch features on the token grid (REPA)

    def to(self, device: torch.device) -> Batch:
        """Move the batch to the device, except for the fields `ON_HOST`."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {"condition": self.condition.to(device)}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and field.name not in ON_HOST:
                moved[field.name] = sent(value, device)
        return replace(self, **moved)

    def parts(self, most: int) -> list[Batch]:
        """Split into the smallest number of equal parts of at most ``most`` samples, in order.

        If ``most`` is 0, the batch is not split.
        """
        count = len(self.x)
        fewest = -(-count // most) if most else 1
        size = count // next(n for n in range(fewest, count + 1) if count % n == 0)
        return [self._rows(slice(i, i + size)) for i in range(0, count, size)]

    def _rows(self, rows: slice) -> Batch:
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors: dict[str, Any] = {
            name: value[rows] for name, value in held.items() if isinstance(value, Tensor)
        }
        return replace(self, condition=self.condition.rows(rows), **tensors)
