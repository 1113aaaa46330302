"""The training loop of the small networks: AdamW with warm-up, cosine decay and gradient clipping."""

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
    """Return the factor of the learning rate: a linear warm-up from 0, then a half cosine to 0."""
    warmup = max(1, int(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return remaining((step - warmup) / max(1, steps - warmup))


def train(network: nn.Module, loss: Loss, stage: ModelStage, rows: int) -> None:
    """Minimise ``loss`` over the parameters of ``network``, in place.

    Args:
        network: the network to train.
        loss: ``(rows (B,) int64, generator) -> scalar``; draws its noise from the generator, whose seed
            depends only on the stage's seed, the model's name and the step.
        stage: the ``model`` stage.
        rows: number of training rows, from which batches are drawn with replacement.

    Raises:
        UserError: the loss is not finite.
    """
    name, recipe = stage.model.name, stage.training
    steps = recipe.steps
    optimizer = adamw(network, BETAS, WEIGHT_DECAY, recipe.learning_rate)
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
    """Return the peak signal-to-noise ratio (dB) for a mean squared error of images in [-1, 1]."""
    return 10 * math.log10(4.0 / max(squared_error, 1e-12))
