"""The short training that all small stand-ins share: AdamW, warm-up, cosine decay, clipping."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.models.batching import progress
from nanogen.training.optimizer import adamw
from nanogen.training.schedule import remaining

log = logging.getLogger(__name__)
Loss = Callable[[Tensor, torch.Generator], Tensor]

WARMUP = 0.05  # fraction of the steps
CLIP = 1.0
BETAS, WEIGHT_DECAY = (0.9, 0.98), 0.01


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate: linear from 0 over the warm-up, then a half cosine to 0."""
    warmup = max(1, int(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return remaining((step - warmup) / max(1, steps - warmup))


def train(network: nn.Module, loss: Loss, stage: ModelStage, rows: int) -> None:
    """Minimise ``loss`` over ``network``'s parameters, in place.

    Args:
        loss: ``(rows (B,) int64, generator) -> scalar``; draws its noise from the generator, which
            depends on the stage's seed, the model's name and the step only.
        stage: of the model that is trained.
        rows: number of training rows; a batch is drawn from them with replacement.

    Raises UserError if the loss stops being finite.
    """
    name, recipe = stage.model.name, stage.training
    steps = recipe.steps
    optimizer = adamw(network, BETAS, WEIGHT_DECAY, recipe.learning_rate, fused=False)
    network.train()
    for step in progress(range(steps), name):
        generator = torch.Generator().manual_seed(seed_for(stage.seed, "build", name, step))
        batch = torch.randint(rows, (recipe.batch_size,), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, steps)
        value = loss(batch, generator)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        if not torch.isfinite(norm):
            raise UserError(
                f"{name}: the training diverged at step {step}; lower training.learning_rate in "
                f"config/models/{name}.yaml"
            )
        optimizer.step()
        if step % max(1, steps // 5) == 0 or step == steps - 1:
            log.info("%s: step %d of %d, loss %.4f", name, step + 1, steps, value.item())
    network.eval()


def psnr(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error on images in [-1, 1]."""
    return 10 * math.log10(4.0 / max(squared_error, 1e-12))
