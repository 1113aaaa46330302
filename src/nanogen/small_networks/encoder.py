"""Train small vision encoders to predict classes and the pixels of visible and hidden patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_stage import ModelStage
from nanogen.data.pixels import to_signed
from nanogen.identity import seed_for
from nanogen.models.batching import batches, gather
from nanogen.models.encoders import (
    Preprocessing,
    TransformerParts,
    build_encoder,
    save_encoder,
)
from nanogen.models.initialisation import seeded
from nanogen.small_networks.training import psnr, train

EVALUATION_BATCH = 250
MASKED = 0.4  # fraction of patches that are hidden


class Pretraining(nn.Module):
    """An encoder of any class with the two heads of its training, which are not saved."""

    def __init__(self, network: nn.Module, classes: int):
        super().__init__()
        self.network = network
        self.parts = TransformerParts.of(network)
        self.patch = self.parts.patch
        self.classify = nn.Linear(self.parts.width, classes)
        self.reconstruct = nn.Linear(self.parts.width, 3 * self.patch**2)

    def forward(self, pixels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Predict logits (N, classes) and pixels of patches (N, L, 3 p p) from pixels (N, 3, H, W).

        ``mask``, bool (N, L), is true for hidden patches. These are grey in the image, since not every
        class has a mask token.
        """
        if mask is not None:
            pixels = pixels.masked_fill(spread(mask, self.patch), 0.0)
        tokens = self.parts.tokens(pixels)
        patches = tokens[:, self.parts.prefix :]
        summary = tokens[:, 0] if self.parts.prefix else patches.mean(1)
        return self.classify(summary), self.reconstruct(patches)


def spread(mask: Tensor, side: int) -> Tensor:
    """Expand a mask of patches, bool (N, rows * rows), to pixels, (N, 1, rows * side, rows * side)."""
    rows = int(mask.shape[1] ** 0.5)
    grid = mask.view(-1, 1, rows, rows)
    return grid.repeat_interleave(side, 2).repeat_interleave(side, 3)


def patches(images: Tensor, side: int) -> Tensor:
    """Split images (N, 3, H, W) into patches (N, L, 3 * side * side), row by row."""
    return F.unfold(images, side, stride=side).transpose(1, 2)


def draw_mask(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Draw a mask, bool (count, length), with the same number of hidden patches in every row."""
    order = torch.rand(count, length, generator=generator).argsort(1).argsort(1)
    return order < round(MASKED * length)


def train_encoder(stage: ModelStage, images: Any, val: Any, folder: Path) -> dict[str, float]:
    """Train an encoder on ``images``, save it in ``folder``, and return its quality on ``val``.

    The loss is the cross-entropy of the class, predicted from the class token (or from the mean of the
    patch tokens if there is none), plus the squared error of every patch's pixels, predicted from its
    token. Visible patches are included, so that tokens retain detail.

    ``images`` and ``val`` are ImageFiles. The quality is ``accuracy``, and ``masked_psnr`` (dB) of
    hidden patches.
    """
    model = stage.model
    options = {"classes": 1.0, "masked": 0.3, "visible": 1.0, **stage.training.options}
    preprocess = Preprocessing.of(model)
    labels = torch.from_numpy(images.labels)
    with seeded(stage.seed, "build", model.name, "weights"):
        pretraining = Pretraining(build_encoder(model), len(images.classes))

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = gather(images.images, rows)
        target = patches(preprocess.resize(to_signed(batch)), pretraining.patch)
        mask = draw_mask(len(target), target.shape[1], generator)
        whole = len(rows) // 2  # no hidden patches in these, as hidden objects cannot be classified
        mask[:whole] = False
        logits, output = pretraining(preprocess(batch), mask)
        error = (output - target).square().mean(2)
        pixels = options["masked"] * error[mask].mean() + options["visible"] * error[~mask].mean()
        return options["classes"] * F.cross_entropy(logits[:whole], labels[rows[:whole]]) + pixels

    train(pretraining, loss, stage, len(images))
    save_encoder(pretraining.network, model, folder)
    preprocess.write(folder)
    return _quality(pretraining, preprocess, val, stage.seed)


@torch.no_grad()
def _quality(
    pretraining: Pretraining, preprocess: Preprocessing, val: Any, seed: int
) -> dict[str, float]:
    correct, squared = 0, []
    generator = torch.Generator().manual_seed(seed_for(seed, "build", "encoder", "validation"))
    for part in batches(len(val), EVALUATION_BATCH):
        batch = gather(val.images, part)
        target = patches(preprocess.resize(to_signed(batch)), pretraining.patch)
        mask = draw_mask(len(target), target.shape[1], generator)
        _, output = pretraining(preprocess(batch), mask)
        squared.append((output - target).square().mean(2)[mask])
        logits, _ = pretraining(preprocess(batch), None)
        correct += int((logits.argmax(1) == torch.from_numpy(val.labels[part])).sum())
    return {"accuracy": correct / len(val), "masked_psnr": psnr(torch.cat(squared).mean().item())}
