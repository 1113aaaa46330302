"""Read and write the statistics with which networks of diffusers normalise their latents.

Normalised latents are ``(z - shift) * scale``. Networks store the statistics in one of these ways:

- ``scale``: ``scaling_factor`` in the configuration (Stable Diffusion);
- ``scale-shift``: ``scaling_factor`` and ``shift_factor`` in the configuration (SD3.5, FLUX.1);
- ``channel``: ``latents_mean`` and ``latents_std`` in the configuration (Qwen-Image, E2E VAEs);
- ``batch-norm``: the running moments of a BatchNorm inside the network (FLUX.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def read(network: Any, given: Any = None, epsilon: float | None = None) -> tuple[Tensor, Tensor]:
    """Return (scale, shift), each float32 (1,) or (C,).

    They are taken from the first of these that exists: ``given``, a pair of numbers; the network's
    BatchNorm, with ``epsilon`` or the one in its configuration; its ``latents_mean`` and
    ``latents_std``; its ``scaling_factor`` and ``shift_factor``.
    """
    config = network.config
    if given is not None:
        return _numbers(*given)
    if hasattr(network, "bn"):
        epsilon = config["batch_norm_eps"] if epsilon is None else epsilon
        std = (network.bn.running_var + epsilon).sqrt()
        return 1.0 / std, network.bn.running_mean.clone()
    if config.get("latents_std") is not None:
        return 1.0 / torch.tensor(config["latents_std"]), torch.tensor(config["latents_mean"])
    return _numbers(config.get("scaling_factor") or 1.0, config.get("shift_factor") or 0.0)


def _numbers(scale: float, shift: float) -> tuple[Tensor, Tensor]:
    return torch.tensor([float(scale)]), torch.tensor([float(shift)])


def write(network: Any, way: str, mean: Tensor, var: Tensor) -> None:
    """Store mean and variance of the latents, each (C, h, w), in ``network``.

    ``way`` is one of the ways in the module's docstring.
    """
    WAYS[way](network, mean, var)


def _pooled(mean: Tensor, var: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Pool moments over ``axes``; the variance within cells and that of their means are added."""
    between = mean.var(axes, correction=0)
    return mean.mean(axes), var.mean(axes) + between


def _scale(network: Any, mean: Tensor, var: Tensor) -> None:
    _, variance = _pooled(mean, var, (0, 1, 2))
    _register(network, float(variance**-0.5), 0.0)


def _scale_shift(network: Any, mean: Tensor, var: Tensor) -> None:
    centre, variance = _pooled(mean, var, (0, 1, 2))
    _register(network, float(variance**-0.5), float(centre))


def _register(network: Any, scale: float, shift: float) -> None:
    """Store one pair of numbers; statistics per channel, which come first in `read`, are removed."""
    network.register_to_config(
        scaling_factor=scale, shift_factor=shift, latents_mean=None, latents_std=None
    )


def _channel(network: Any, mean: Tensor, var: Tensor) -> None:
    centre, variance = _pooled(mean, var, (1, 2))
    network.register_to_config(latents_mean=centre.tolist(), latents_std=variance.sqrt().tolist())


def _batch_norm(network: Any, mean: Tensor, var: Tensor) -> None:
    centre, variance = _pooled(mean, var, (1, 2))
    network.bn.running_mean.copy_(centre)
    network.bn.running_var.copy_(variance)


WAYS = {
    "scale": _scale,
    "scale-shift": _scale_shift,
    "channel": _channel,
    "batch-norm": _batch_norm,
}
