"""The VGG16 with seeded random weights that the authors' perceptual losses were computed with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

# VGG16's convolutions in torchvision's order: output channels and layer index.
CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def write_vgg(folder: Path, seed: int) -> dict[str, Tensor]:
    """Write and return the random weights that the golden folder's README describes."""
    random, weights, inputs = np.random.RandomState(seed), {}, 3
    for layer, outputs in zip(LAYERS, CHANNELS, strict=True):
        weight = random.standard_normal((outputs, inputs, 3, 3)) * np.sqrt(2 / (9 * inputs))
        weights[f"features.{layer}.weight"] = torch.from_numpy(weight.astype(np.float32))
        bias = 0.05 * random.standard_normal(outputs)
        weights[f"features.{layer}.bias"] = torch.from_numpy(bias.astype(np.float32))
        inputs = outputs
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    return weights
