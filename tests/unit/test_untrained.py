"""Images of the initial weights are drawn without the network and equal those it would draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nanogen.backbones import Condition, build
from nanogen.config import stages
from nanogen.config.sample_stage import SampleStage
from nanogen.config.train_stage import TrainStage
from nanogen.data.pixels import to_uint8
from nanogen.sampling.generate import Generator
from nanogen.sampling.untrained import Silent, is_silent, untrained

# v-prediction, x-prediction, REG's cls feature, a second head, average velocities
METHODS = ["sd-vae-mse", "jit", "dinov2-b-reg", "flux2-vae", "pixnerd", "meanflow"]


class Shown:
    """Decodes latents as if they were colours."""

    def to(self, device):
        return self

    def decode_uint8(self, latents, pixels):
        return to_uint8(latents[:, :3])


def drawn(stage: dict, network: torch.nn.Module) -> np.ndarray:
    generator = Generator(SampleStage.from_json(stage), network, Shown(), torch.device("cpu"))
    return generator(np.arange(2), Condition(labels=torch.tensor([3, 5])))


@pytest.mark.parametrize("method", METHODS)
def test_images_of_the_initial_weights_need_no_network(tiny, method):
    stage = stages.sample(tiny(), method, "imagenet", "untrained")
    silent = untrained(TrainStage.from_json(stage["train"]))
    assert isinstance(silent, Silent)
    assert np.array_equal(
        drawn(stage, silent), drawn(stage, build(TrainStage.from_json(stage["train"])))
    )


def test_a_network_that_says_something_is_asked(tiny):
    network = build(TrainStage.from_json(stages.train(tiny(), "jit", "imagenet")))
    with torch.no_grad():
        network.final.outputs()[0].bias[0] = 1e-3
    assert not is_silent(network)
