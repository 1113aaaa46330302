"""Random generators of a training step: one on the CPU, and one on the device for noise."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")


def generators(seed: int, device: torch.device) -> tuple[torch.Generator, torch.Generator]:
    """Return two generators with the seed ``seed``: one on the CPU, and one on ``device`` for noise.

    The few numbers per image that decide what is read and computed (times, captions, augmentations) are
    needed on the CPU. Noise is as large as the image, and a GPU draws it faster than a CPU draws and
    copies it. If ``device`` is a CPU, both are the same generator.

    The same seed gives the same numbers on the same device. Another type of device draws different ones.
    Large noise also differs between GPU models, because they split the work differently.
    """
    host = torch.Generator().manual_seed(seed)
    return host, host if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
