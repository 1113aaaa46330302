"""Flow matching: mean squared error of velocities (paper, section 2.1)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nanogen.backbones.embeddings import Condition
from nanogen.errors import UserError
from nanogen.objectives.path import StraightPath, TrainingTime, shift_factor
from nanogen.objectives.prediction import PREDICTIONS
from nanogen.training.batches import Batch


class FlowMatching:
    """``objective(model, batch)`` -> named losses; ``loss`` is the one to minimise."""

    def __init__(self, path: StraightPath, times: TrainingTime, prediction: str, dropout: float):
        self.path, self.times, self.dropout = path, times, dropout
        self.to_velocity = PREDICTIONS[prediction]

    @classmethod
    def from_stage(cls, stage: dict[str, Any]) -> FlowMatching:
        """The objective of a ``train`` stage; raises UserError for one that is not there."""
        keys = stage["objective"]
        if keys["kind"] != "flow-matching" or keys["terms"]:
            wanted = ", ".join([keys["kind"], *keys["terms"]])
            raise UserError(
                f"{stage['method']} asks for the objective {wanted}; this version trains "
                "flow-matching without added terms"
            )
        channels, rows, columns = stage["latent"]
        shift = shift_factor(channels * rows * columns, keys["shift_base"])
        return cls(
            StraightPath(keys["t_eps"]),
            TrainingTime(keys["time_mu"], keys["time_sigma"], shift),
            keys["prediction"],
            stage["training"]["condition_dropout"],
        )

    def __call__(self, model: nn.Module, batch: Batch, conditioner: nn.Module) -> dict[str, Tensor]:
        """Losses of one batch; the condition is dropped where ``batch.uniform`` says so."""
        condition = conditioner.dropped(batch.condition, batch.uniform < self.dropout)
        t = self.times(batch.normal)
        return {"loss": self.loss(model, batch.x, batch.noise, t, condition)}

    def loss(
        self, model: nn.Module, x: Tensor, noise: Tensor, t: Tensor, condition: Condition
    ) -> Tensor:
        """Mean squared error at given times: ``x``, ``noise`` (B, C, H, W), ``t`` (B,)."""
        x_t, target = self.path.sample(x, noise, t)
        output = model(x_t, t, condition).image.float()
        velocity = self.to_velocity(output, x_t, t, self.path.t_eps)
        return (velocity - target).square().mean()
