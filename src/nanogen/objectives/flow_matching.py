"""Flow matching: the mean squared error of velocities (paper, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from nanogen.backbones import Condition, Output
from nanogen.backbones.embeddings import Conditioning
from nanogen.config.train_stage import BackboneStage
from nanogen.objectives.batch import Batch
from nanogen.objectives.path import (
    PREDICTIONS,
    PathSample,
    StraightPath,
    TrainingTime,
    per_sample,
    shift_factor,
)
from nanogen.transfer import sent


@dataclass(frozen=True)
class Predicted:
    """A batch with noise at times t, and the network's prediction; the input of added terms."""

    batch: Batch
    t: Tensor  # (B,)
    times: Tensor  # (B,), the same on the CPU: choosing samples by them does not wait for the device
    image: PathSample  # noisy images and their velocity
    cls: PathSample | None  # the same for the class token, (B, Z), if it is diffused too
    output: Output
    velocity: Tensor  # (B, C, H, W) float32, predicted
    clean: Tensor  # (B, C, H, W) float32, the clean image that the predicted velocity implies


class FlowMatching:
    """The flow matching objective.

    ``objective(model, batch, conditioner)`` returns losses by name; ``loss`` is the one to minimise.
    """

    def __init__(self, path: StraightPath, times: TrainingTime, prediction: str, dropout: float):
        self.path, self.times, self.dropout = path, times, dropout
        self.to_velocity = PREDICTIONS[prediction]

    @classmethod
    def from_stage(cls, stage: BackboneStage) -> FlowMatching:
        """Build the objective of a stage of the kind ``flow-matching``, without added terms."""
        keys = stage.objective
        channels, rows, columns = stage.latent
        shift = shift_factor(channels * rows * columns, keys.shift_base)
        return cls(
            StraightPath(keys.t_eps),
            TrainingTime(keys.time_mu, keys.time_sigma, shift),
            keys.prediction,
            stage.training.condition_dropout,
        )

    def __call__(self, model: nn.Module, batch: Batch, conditioner: Conditioning) -> dict[str, Tensor]:
        """Compute the losses of a batch; conditions are dropped as ``batch.uniform`` decides."""
        return {"loss": self.error(self.predicted(model, batch, conditioner))}

    def predicted(self, model: nn.Module, batch: Batch, conditioner: Conditioning) -> Predicted:
        """Predict with the times and dropped conditions that the batch's random numbers define."""
        condition = conditioner.dropped(batch.condition, batch.uniform < self.dropout)
        return self.predicted_at(model, batch, self.times(batch.normal), condition)

    def predicted_at(
        self, model: nn.Module, batch: Batch, times: Tensor, condition: Condition
    ) -> Predicted:
        """Predict at ``times`` (B,), on the CPU; the class token gets noise at the same times (REG)."""
        t = sent(times, batch.x.device)
        image = self.path.sample(batch.x, batch.noise, t)
        cls = None
        if batch.cls is not None:
            assert batch.cls_noise is not None
            cls = self.path.sample(batch.cls, batch.cls_noise, t)
        output = model(image.x_t, t, condition, *([] if cls is None else [cls.x_t]))
        velocity = self.velocity_of(output, image.x_t, t)
        clean = image.x_t - per_sample(t, velocity).clamp_min(self.path.t_eps) * velocity
        return Predicted(batch, t, times, image, cls, output, velocity, clean)

    def velocity_of(self, output: Output, x_t: Tensor, t: Tensor) -> Tensor:
        """Convert the network's output of either prediction to a velocity, float32 (B, C, H, W)."""
        return self.to_velocity(output.image.float(), x_t, t, self.path.t_eps)

    def error(self, predicted: Predicted) -> Tensor:
        """Return the mean squared error of the velocities."""
        return (predicted.velocity - predicted.image.velocity).square().mean()
