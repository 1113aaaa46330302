"""Preprocess images for judge models that contain CLIP's vision tower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nanogen.config.model_schema import Model


def pixels_of(images: Sequence[np.ndarray], model: Model, *, pad: bool) -> Tensor:
    """Convert uint8 images (H, W, 3) of any sizes to network inputs (N, 3, S, S).

    S is the model's ``input_size``. Pixels are normalised by the model's mean and standard deviation.

    Args:
        pad: pad images to squares with the mean colour; otherwise they are stretched.
    """
    from PIL import Image

    side = model.required("input_size")
    mean, std = np.array(model.image_mean), np.array(model.image_std)
    made = []
    for image in images:
        square = _padded(image, mean) if pad else image
        resized = Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC)
        made.append(((np.asarray(resized) / 255 - mean) / std).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(made).astype(np.float32))


def _padded(image: np.ndarray, mean: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), (mean * 255).astype(int), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square
