"""Compilation of a backbone's blocks with torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from nanogen.backbones.encoder import InContextEncoder


def compile_blocks(model: InContextEncoder, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the forward pass of each block, inside the hooks by which sharding gathers its weights.

    The second length of captions, or size of a batch, triggers a compilation for all of them.
    """
    for block in model.blocks():
        block.forward = torch.compile(block.forward, backend=backend)
