"""PixelGen's perceptual terms reproduce the authors' distances, losses and gradient."""

from __future__ import annotations

import pytest
import torch
from golden_files import Golden, every, prediction
from random_vgg import write_vgg
from torch import Tensor, nn

from nanogen.backbones import Condition, Output
from nanogen.config.model_schema import Model
from nanogen.config.schema import Term
from nanogen.interop import load_reference_encoder
from nanogen.models.perceptual import load_perceptual
from nanogen.models.vision_features import Vision
from nanogen.objectives import FlowMatching, StraightPath, TrainingTime
from nanogen.objectives.batch import Batch
from nanogen.objectives.terms import TERMS, WithTerms


class Predicts(nn.Module):
    """A network that predicts a constant image."""

    def __init__(self, image: Tensor):
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Output:
        return Output(self.image)


@pytest.fixture(scope="module")
def made(request, tmp_path_factory) -> tuple[Golden, WithTerms, dict[str, Tensor]]:
    """A golden file, its objective and the VGG's weights."""
    golden, folder = Golden.read(request.param), tmp_path_factory.mktemp("networks")
    of_encoder = Golden.read(golden.path.with_name(golden.meta["dino"]))
    encoder = load_reference_encoder(of_encoder.params(), of_encoder.meta, folder / "encoder")
    vgg = write_vgg(folder / "lpips", golden.meta["vgg_seed"])
    lpips = load_perceptual(
        folder / "lpips", Model(name="lpips", kind="perceptual", model_class="lpips:vgg")
    )
    path = StraightPath(golden.meta["t_eps"])
    base = FlowMatching(path, TrainingTime(0, 1, 1), prediction(golden.meta), 0)
    terms = {}
    for name, key, network in (
        ("lpips", "lpips", lpips),
        ("features", "dinov2", Vision(encoder.eval())),
    ):
        coefficient = golden.meta["weights"][key]
        keys = Term(coefficient=coefficient, encoder="x", t_below=golden.meta["t_thresh"])
        terms[name] = (coefficient, TERMS[name](keys, base, network))
    return golden, WithTerms(base, terms), vgg


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-7)


FILES = pytest.mark.parametrize("made", every("pixelgen_losses*.npz"), indirect=True)


@FILES
def test_the_distances_of_both_networks(made):
    golden, objective, vgg = made
    close(vgg["features.0.weight"][:2], golden.values["vgg_first"])
    images, targets = golden.values["x_pred"], golden.values["x1"]
    for name, of in (("lpips", "lpips"), ("features", "dino_mse")):
        with torch.no_grad():
            found = objective.terms[name][1]
            distance = found.distance(images, targets)
        close(distance, golden.values[of])


@FILES
def test_the_losses_and_their_gradient(made):
    golden, objective, _ = made
    values = golden.values
    t, count = values["t"], len(values["t"])
    none = torch.zeros(count)
    condition = Condition(labels=none.long())
    batch = Batch(values["x1"], values["noise"], none, none, none, condition, 0)
    model = Predicts(values["x_pred"])
    predicted = objective.base.predicted_at(model, batch, t, condition)
    close(predicted.image.x_t, values["x_t"])
    velocity = objective.base.error(predicted)
    perceptual = sum(weight * term(predicted) for weight, term in objective.terms.values())
    close(velocity, values["loss_velocity"])
    close(perceptual, values["loss_percep_mean"])
    close(velocity + perceptual, values["loss_total"])
    (velocity + perceptual).backward()
    close(model.image.grad, values["grad_x_pred"])
