"""Path, times, predictions and schedule against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from nanogen.backbones import Condition, Output
from nanogen.config import load_run, load_study
from nanogen.config.training_schema import Optimizer
from nanogen.objectives import (
    PREDICTIONS,
    FlowMatching,
    StraightPath,
    TrainingTime,
    shift_factor,
    shifted,
)
from nanogen.objectives.batch import Batch
from nanogen.training.schedule import learning_rate


def image(*values: float) -> torch.Tensor:
    """One value per sample, in shape (B, 1, 1, 1)."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_the_straight_path_by_hand():
    t = torch.tensor([0.0, 0.25, 1.0, 0.01])
    sample = StraightPath(0.05).sample(image(2, 2, 2, 2), image(-1, -1, -1, -1), t)
    # 2 + t * (-1 - 2)
    torch.testing.assert_close(sample.x_t, image(2, 1.25, -1, 1.97))
    # eps - x = -3; below the clamp (x_t - x) / 0.05 = -0.03 / 0.05
    torch.testing.assert_close(sample.velocity, image(0, -3, -3, -0.6))


def test_times_are_logit_normal_and_shifted():
    torch.testing.assert_close(
        shifted(torch.tensor([0.0, 0.5, 1.0]), 4.0), torch.tensor([0.0, 0.8, 1.0])
    )
    torch.testing.assert_close(shifted(torch.tensor([0.3]), 1.0), torch.tensor([0.3]))
    # DINOv2-B latents 768 x 16 x 16 and pixels 3 x 256 x 256 (paper, section 2.1)
    assert shift_factor(768 * 16 * 16, 4096) == pytest.approx(6.9282, abs=1e-4)
    assert shift_factor(3 * 256 * 256, 196608) == 1.0
    times = TrainingTime(-1.1, 0.8, 2.0)(torch.tensor([0.0, 1.0]))
    base = [1 / (1 + math.exp(1.1)), 1 / (1 + math.exp(0.3))]
    expected = torch.tensor([2 * b / (1 + b) for b in base])
    torch.testing.assert_close(times, expected)


def test_both_predictions_of_a_perfect_network_give_the_same_velocity():
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn(2, 64, 3, 4, 4, generator=generator)
    t = torch.linspace(0, 1, 64)
    sample = StraightPath(0.05).sample(x, noise, t)
    from_v = PREDICTIONS["v"](sample.velocity, sample.x_t, t, 0.05)
    from_x = PREDICTIONS["x"](x, sample.x_t, t, 0.05)
    torch.testing.assert_close(from_x, from_v)
    torch.testing.assert_close(from_x[4:], (noise - x)[4:])  # t >= 0.063, above the clamp


class Oracle(torch.nn.Module):
    """A network that returns the answer, shifted by ``error``."""

    def __init__(self, answer: torch.Tensor, error: float):
        super().__init__()
        self.answer, self.error = answer, error

    def forward(self, x_t, t, condition):
        return Output(self.answer + self.error)


@pytest.mark.parametrize(("prediction", "expected"), [("v", 0.25), ("x", (0.5 / 0.4) ** 2)])
def test_the_loss_is_the_mean_squared_error_of_velocities(prediction, expected):
    x, noise, t = image(1.0, -2.0), image(0.5, 3.0), torch.tensor([0.4, 0.4])
    objective = FlowMatching(StraightPath(0.05), TrainingTime(0, 1, 1), prediction, 0.1)
    answer = x if prediction == "x" else noise - x
    condition = Condition(labels=torch.zeros(2, dtype=torch.int64))
    batch = Batch(x, noise, t, t, t, condition, step=0)
    for error, loss in ((0.0, 0.0), (0.5, expected)):
        predicted = objective.predicted_at(Oracle(answer, error), batch, t, condition)
        assert float(objective.error(predicted)) == pytest.approx(loss, rel=1e-5, abs=1e-10)


# -------------------------------------------------------------------------------- schedule


def schedule(**keys: float) -> Optimizer:
    return Optimizer(**{"learning_rate": 2e-4, "final_learning_rate": 2e-5, "warmup_steps": 0, **keys})


def test_the_papers_text_warm_up_then_decay_to_a_tenth():
    keys = schedule(warmup_steps=40, decay_start=40, decay_end=80)
    rates = [learning_rate(step, keys) for step in range(100)]
    assert rates[0] == pytest.approx(2e-4 / 40)
    assert rates[19] == pytest.approx(1e-4)
    assert rates[39] == rates[40] == pytest.approx(2e-4)
    assert rates[60] == pytest.approx(1.1e-4)
    assert rates[80] == rates[99] == pytest.approx(2e-5)


def test_the_authors_code_constant_then_a_decay_that_the_run_does_not_finish():
    keys = load_run(load_study("paper"), "dinov2-b", "imagenet").training.optimizer
    assert learning_rate(0, keys) == learning_rate(50040, keys) == 2e-4
    assert learning_rate(100079, keys) == pytest.approx(1.905e-4, abs=1e-7)
    assert learning_rate(1000800, keys) == pytest.approx(2e-5)


def test_a_constant_rate():
    keys = schedule(decay_start=10, decay_end=10)
    assert {learning_rate(step, keys) for step in (0, 5, 10, 50)} == {2e-4}
