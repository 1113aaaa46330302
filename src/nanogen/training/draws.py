"""Where the random numbers of a training step are drawn: few on the CPU, many on the device."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")


def generators(seed: int, device: torch.device) -> tuple[torch.Generator, torch.Generator]:
    """Two generators that begin with ``seed``: one on the CPU, and one on ``device`` for noise.

    The host has to know the few numbers of an image that say what is read and computed: times,
    captions, augmentations. Noise is as large as the image, and a GPU draws it faster than a CPU draws
    and copies it. On a CPU both are one generator.

    So the same seed gives the same numbers on the same device. Another kind of device draws other ones,
    and large noise differs between models of GPUs, too, because they divide the work otherwise.
    """
    host = torch.Generator().manual_seed(seed)
    return host, host if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
