"""Flow matching: mean squared error of velocities (paper, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from nanogen.backbones import Condition, Output
from nanogen.backbones.embeddings import Conditioning, sent
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


@dataclass(frozen=True)
class Predicted:
    """A batch noised at times t and what the network made of it, which added terms read."""

    batch: Batch
    t: Tensor  # (B,)
    times: Tensor  # (B,), the same on the CPU: choosing samples by them does not wait for the device
    image: PathSample  # noisy images and their velocity
    cls: PathSample | None  # the same of the cls feature, (B, Z), where it is diffused too
    output: Output
    velocity: Tensor  # (B, C, H, W) float32, predicted
    clean: Tensor  # (B, C, H, W) float32, the image that the velocity points from


class FlowMatching:
    """``objective(model, batch, conditioner)`` -> named losses; ``loss`` is the one to minimise."""

    def __init__(self, path: StraightPath, times: TrainingTime, prediction: str, dropout: float):
        self.path, self.times, self.dropout = path, times, dropout
        self.to_velocity = PREDICTIONS[prediction]

    @classmethod
    def from_stage(cls, stage: BackboneStage) -> FlowMatching:
        """The objective of a stage whose kind is flow-matching, without added terms."""
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
        """Losses of one batch; the condition is dropped where ``batch.uniform`` says so."""
        return {"loss": self.error(self.predicted(model, batch, conditioner))}

    def predicted(self, model: nn.Module, batch: Batch, conditioner: Conditioning) -> Predicted:
        """The network's prediction at the times and with the dropped conditions of the batch."""
        condition = conditioner.dropped(batch.condition, batch.uniform < self.dropout)
        return self.predicted_at(model, batch, self.times(batch.normal), condition)

    def predicted_at(
        self, model: nn.Module, batch: Batch, times: Tensor, condition: Condition
    ) -> Predicted:
        """The same at given times (B,), on the CPU; the cls feature is noised at the same (REG)."""
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
        """Velocity (B, C, H, W), float32, whatever the network predicts."""
        return self.to_velocity(output.image.float(), x_t, t, self.path.t_eps)

    def error(self, predicted: Predicted) -> Tensor:
        """Mean squared error of the velocities."""
        return (predicted.velocity - predicted.image.velocity).square().mean()
