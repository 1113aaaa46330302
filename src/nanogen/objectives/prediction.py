"""What a network's output means, turned into the velocity that losses and samplers use."""

from __future__ import annotations

from torch import Tensor


def v_prediction(output: Tensor, x_t: Tensor, t: Tensor, t_eps: float) -> Tensor:
    """The output is the velocity."""
    return output


def x_prediction(output: Tensor, x_t: Tensor, t: Tensor, t_eps: float) -> Tensor:
    """The output is the clean image: velocity (x_t - output) / max(t, t_eps)."""
    t = t.view(-1, *(1,) * (x_t.dim() - 1))
    return (x_t - output) / t.clamp_min(t_eps)


PREDICTIONS = {"v": v_prediction, "x": x_prediction}
