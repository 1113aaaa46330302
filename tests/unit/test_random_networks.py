"""Random stand-ins load like the networks they replace, with the full study's latents and widths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nanogen.config import load_model, load_study, plan, stages
from nanogen.config.model_stage import ModelStage
from nanogen.data.pixels import to_signed
from nanogen.files import read_json
from nanogen.metrics.detector import load_detector
from nanogen.metrics.extractors import load_extractor
from nanogen.metrics.published_moments import published_moments
from nanogen.models.card import write_card
from nanogen.models.encoders import load_encoder
from nanogen.models.perceptual import load_perceptual
from nanogen.models.text_features import TextEncoder
from nanogen.small_networks.random_networks import write_random_network
from nanogen.stage1.discriminator import load_features
from nanogen.tokenizers import load_tokenizer

pytestmark = pytest.mark.slow
REHEARSAL = load_study("rehearsal")
RANDOM = {
    model.name: model
    for model in (load_model(REHEARSAL, name) for name in plan.models_of(REHEARSAL))
    if model.source == "random"
}


def of_kind(kind: str) -> list[str]:
    return [name for name, model in RANDOM.items() if model.kind == kind]


@pytest.fixture
def stand_in(tmp_path):
    """(model name) -> the folder of its stand-in, and its configuration."""

    def write(name):
        stage, folder = ModelStage.from_json(stages.model(REHEARSAL, name)), tmp_path / name
        folder.mkdir()
        write_random_network(stage, folder)
        write_card(folder, stage, {}, 0.0)
        return folder, stage.model

    return write


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))


@pytest.mark.parametrize("name", of_kind("vae"))
def test_an_autoencoder_has_the_papers_latents(stand_in, images, name):
    folder, model = stand_in(name)
    tokenizer = load_tokenizer(folder, model)
    latents = tokenizer.encode(images)
    assert tuple(latents.shape[1:]) == load_model(load_study("paper"), name).latent
    assert torch.isfinite(latents).all()
    assert tokenizer.decode_uint8(latents).shape == images.shape


@pytest.mark.parametrize("name", [name for name in of_kind("encoder") if name != "dino-s"])
def test_an_encoder_has_the_papers_features(stand_in, images, name):
    folder, model = stand_in(name)
    encoder = load_encoder(folder, model)
    features = encoder(images)
    assert tuple(features.shape[1:]) == load_model(load_study("paper"), f"rae-{name}").latent
    assert torch.isfinite(features).all()
    assert features.std() > 0.1
    # A discriminator would see the output of the last block, which lacks only the last norm.
    parts = encoder.parts
    (last,) = parts.layers(encoder.preprocessing(images), [parts.depth])
    normed = getattr(parts.owner, parts.norm)(last)
    assert torch.allclose(normed, features.flatten(2).transpose(1, 2), atol=1e-4)


def test_the_discriminators_encoder_shows_its_layers(stand_in, images):
    folder, model = stand_in("dino-s")
    features = load_features(folder, model, [3, 6, 9, 12])(to_signed(images))
    assert [tuple(x.shape) for x in features] == [(1, 48, 28, 28)] * 4
    assert all(torch.isfinite(x).all() for x in features)


@pytest.mark.parametrize("name", of_kind("extractor"))
def test_an_extractor_comes_with_its_published_moments(stand_in, images, name):
    folder, model = stand_in(name)
    extractor = load_extractor(folder, model)
    output = extractor(images.numpy())
    assert output.features.shape == (1, extractor.width)
    assert np.isfinite(output.features).all()
    classes = {"inception": 1008, "convnext": 1000}  # as in the networks they stand for
    assert (None if output.logits is None else output.logits.shape[1]) == classes.get(name)
    if model.statistics:
        moments = published_moments(folder, model.statistics, extractor.width)
        assert moments.mean.shape == (extractor.width,)
        assert moments.covariance.trace() == extractor.width


def test_the_text_encoder_has_the_papers_width(stand_in):
    folder, model = stand_in("qwen3")
    encoder = TextEncoder(folder, model)
    ids, cut = encoder.token_ids(["a photo of a cat on a chair", ""])
    assert not cut
    assert [row.shape[1] for row in encoder.features(ids)] == [1024, 1024]


def test_the_detector_and_the_distance_load(stand_in, images, tmp_path):
    detector = stand_in("detector")
    found = load_detector(*detector, stand_in("color-classifier"))(images.numpy())
    assert len(found) == 1
    assert found[0]
    folder, model = stand_in("lpips")
    pixels = torch.rand(1, 3, 256, 256)
    assert load_perceptual(folder, model)(pixels, pixels).abs() < 1e-6


def test_weights_belong_to_the_name_and_the_seed(tmp_path):
    contents = []
    for index, (study, name) in enumerate(
        [
            (REHEARSAL, "sd-vae-mse"),
            (REHEARSAL, "sd-vae-mse"),
            (REHEARSAL, "sd-vae-ema"),
            (load_study("rehearsal", {"seed": 1}), "sd-vae-mse"),
        ]
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_random_network(ModelStage.from_json(stages.model(study, name)), folder)
        contents.append((folder / "diffusion_pytorch_model.safetensors").read_bytes())
        assert read_json(folder / "config.json")["_class_name"] == "AutoencoderKL"
    assert contents[0] == contents[1]
    assert len(set(contents)) == 3


def test_inception_gives_the_map_that_sfid_is_defined_on(stand_in, images):
    folder, model = stand_in("inception")
    extractor = load_extractor(folder, model)
    spatial = extractor(images.numpy()).spatial
    assert spatial.shape == (1, 17 * 17 * 7)
    assert (spatial >= 0).all()  # after the ReLU, like the layer of that name in the 2015 graph
    assert spatial.std() > 0
