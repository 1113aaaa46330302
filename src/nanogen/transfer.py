"""Copies of tensors to a device that the CPU does not wait for."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device; copies to a GPU are asynchronous, from pinned memory."""
    if device.type == "cuda" and not x.is_cuda:
        x = x.pin_memory()
    return x.to(device, non_blocking=True)
