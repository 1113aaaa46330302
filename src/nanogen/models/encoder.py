"""The small vision encoder: Dinov2WithRegisters trained on classes and on masked patches' pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.models.encoders import Preprocessing
from nanogen.models.loading import save_network
from nanogen.models.training import batches, checked, gather, psnr, seeded, train
from nanogen.tokenizers.base import to_signed

EVALUATION_BATCH = 250
MASKED = 0.4  # fraction of the patches hidden


class Pretraining(nn.Module):
    """The encoder with the two heads it is trained under; the heads are not kept."""

    def __init__(self, network: nn.Module, classes: int):
        super().__init__()
        self.network = network
        config = network.config
        self.patch = int(config.patch_size)
        self.prefix = 1 + int(config.num_register_tokens)
        self.classify = nn.Linear(config.hidden_size, classes)
        self.reconstruct = nn.Linear(config.hidden_size, 3 * self.patch**2)

    def forward(self, pixels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pixels (N, 3, H, W), mask bool (N, L) -> logits (N, classes), patches (N, L, 3 p p)."""
        tokens = self.network(pixel_values=pixels, bool_masked_pos=mask).last_hidden_state
        return self.classify(tokens[:, 0]), self.reconstruct(tokens[:, self.prefix :])


def patches(images: Tensor, side: int) -> Tensor:
    """(N, 3, H, W) -> (N, L, 3 * side * side), the patches row by row."""
    return F.unfold(images, side, stride=side).transpose(1, 2)


def draw_mask(count: int, length: int, generator: torch.Generator) -> Tensor:
    """bool (count, length) with the same number of hidden patches in every row."""
    order = torch.rand(count, length, generator=generator).argsort(1).argsort(1)
    return order < round(MASKED * length)


def build(model: Mapping[str, Any]) -> nn.Module:
    """An untrained Dinov2WithRegistersModel of the configuration's architecture."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    if model["model_class"] != "Dinov2WithRegistersModel":
        raise UserError(
            f"config/models/{model['name']}.yaml: only Dinov2WithRegistersModel can be trained here, "
            f"not {model['model_class']}; set its source to download or path"
        )
    keys = checked(model["architecture"], Dinov2WithRegistersConfig().to_dict(), model["name"])
    config = Dinov2WithRegistersConfig(
        **{"image_size": model["input_size"], "layerscale_value": 1.0, "initializer_range": 0.1, **keys}
    )
    return Dinov2WithRegistersModel(config)


def train_encoder(stage: Mapping[str, Any], images: Any, val: Any, folder: Path) -> dict[str, float]:
    """Train on ``images`` (an ImageFile), save to ``folder``; its quality on ``val``.

    Loss: cross-entropy of the class from the class token, and the squared error of every patch's
    pixels from its token, of hidden patches and of visible ones, so that tokens keep detail.
    Quality: ``accuracy``, and ``masked_psnr`` (dB) over hidden patches.
    """
    model = stage["model"]
    options = {"masked": 0.3, "visible": 1.0, **model["training"]["options"]}
    preprocess = Preprocessing.of(model)
    labels = torch.from_numpy(images.labels)
    with seeded(stage["seed"], "build", model["name"], "weights"):
        pretraining = Pretraining(build(model), len(images.classes))

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = gather(images.images, rows)
        target = patches(_resized(batch, preprocess.size), pretraining.patch)
        mask = draw_mask(*target.shape[:2], generator)
        whole = len(rows) // 2  # these see every patch: what is hidden cannot be classified
        mask[:whole] = False
        logits, output = pretraining(preprocess(batch), mask)
        error = (output - target).square().mean(2)
        pixels = options["masked"] * error[mask].mean() + options["visible"] * error[~mask].mean()
        return F.cross_entropy(logits[:whole], labels[rows[:whole]]) + pixels

    train(pretraining, loss, stage, len(images))
    save_network(pretraining.network, folder)
    preprocess.write(folder)
    return _quality(pretraining, preprocess, val, stage["seed"])


def _resized(images: Tensor, size: int) -> Tensor:
    """uint8 (N, H, W, 3) -> what the heads reconstruct: float32 (N, 3, size, size) in [-1, 1]."""
    signed = to_signed(images)
    return signed if signed.shape[-1] == size else F.interpolate(signed, (size, size), mode="bicubic")


@torch.no_grad()
def _quality(
    pretraining: Pretraining, preprocess: Preprocessing, val: Any, seed: int
) -> dict[str, float]:
    correct, squared = 0, []
    generator = torch.Generator().manual_seed(seed_for(seed, "build", "encoder", "validation"))
    for part in batches(len(val), EVALUATION_BATCH):
        batch = gather(val.images, part)
        target = patches(_resized(batch, preprocess.size), pretraining.patch)
        mask = draw_mask(*target.shape[:2], generator)
        _, output = pretraining(preprocess(batch), mask)
        squared.append((output - target).square().mean(2)[mask])
        logits, _ = pretraining(preprocess(batch), None)
        correct += int((logits.argmax(1) == torch.from_numpy(val.labels[part])).sum())
    return {"accuracy": correct / len(val), "masked_psnr": psnr(torch.cat(squared).mean().item())}
