"""Frozen vision encoders seen as a map from images to a grid of patch features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.models.card import read_card
from nanogen.models.loading import load_network

PREPROCESSING = "preprocessing.json"

# class -> (name of its last norm, whether class and register tokens stand before the patches)
LAYOUTS = {
    "Dinov2WithRegistersModel": ("layernorm", True),
    "DINOv3ViTModel": ("norm", True),
    "SiglipVisionModel": ("post_layernorm", False),
}


@dataclass(frozen=True)
class Preprocessing:
    """What an encoder is fed: ``(image - mean) / std`` of images in [0, 1], ``size`` pixels wide."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, 3, size, size); bicubic without antialiasing."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        pixels = (pixels - mean) / std
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bicubic", antialias=False)
        return pixels

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> Preprocessing:
        """From a resolved model configuration (`nanogen.config.schema.Model` as a dictionary)."""
        if model.get("input_size") is None:
            raise UserError(f"config/models/{model.get('name')}.yaml: 'input_size' is missing")
        return cls(model["input_size"], tuple(model["image_mean"]), tuple(model["image_std"]))

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        keys = read_json(folder / PREPROCESSING)
        return cls(keys["size"], tuple(keys["mean"]), tuple(keys["std"]))

    def write(self, folder: Path) -> None:
        write_json(folder / PREPROCESSING, asdict(self))


class VisionEncoder(nn.Module):
    """A frozen encoder whose last norm has lost its affine part, so that every channel has one scale."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing):
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        norm_name, has_prefix = LAYOUTS[type(network).__name__]
        owner = network.vision_model if hasattr(network, "vision_model") else network
        norm = getattr(owner, norm_name)
        with torch.no_grad():
            norm.weight.fill_(1.0)
            norm.bias.zero_()
        config = network.config
        self.prefix = 1 + int(getattr(config, "num_register_tokens", 0)) if has_prefix else 0
        self.width = int(config.hidden_size)
        self.rows = preprocessing.size // int(config.patch_size)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, C, rows, rows): the last norm's patch tokens."""
        tokens = self.network(pixel_values=self.preprocessing(images)).last_hidden_state
        patches = tokens[:, self.prefix :]  # (N, rows * rows, C)
        return patches.transpose(1, 2).unflatten(2, (self.rows, self.rows))


def load_encoder(folder: Path, model: Mapping[str, Any] | None = None) -> VisionEncoder:
    """The encoder in ``folder``.

    Args:
        model: its resolved configuration; where none is given, the one in its card, or what
            `config.json` and `preprocessing.json` say.

    Raises UserError where a file is missing or the class is not known.
    """
    card = read_card(folder)
    if model is None and card is not None:
        model = card["model"]
    if model is not None:
        class_name, preprocessing = model["model_class"], Preprocessing.of(model)
    else:
        class_name = read_json(folder / "config.json")["architectures"][0]
        preprocessing = Preprocessing.read(folder)
    if class_name not in LAYOUTS:
        raise UserError(
            f"{folder}: the order of {class_name}'s tokens is not known; known are {', '.join(LAYOUTS)}"
        )
    return VisionEncoder(load_network(folder, class_name), preprocessing)
