"""Every encoder reproduces the authors' latents and their targets of REG and REPA."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_files import Golden, every

from nanogen.interop import load_reference_encoder
from nanogen.models.encoders import VisionEncoder
from nanogen.models.vision_features import Vision
from nanogen.tokenizers.rae import RAE

ENCODERS = every("encoder_*.npz")
TARGETS = every("encoder_*.npz", lambda path: "reg_target" in np.load(path).files)


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def golden(request, tmp_path) -> tuple[dict[str, torch.Tensor], VisionEncoder]:
    """The values of a golden file, and its encoder."""
    found = Golden.read(request.param)
    encoder = load_reference_encoder(found.params(), found.meta, tmp_path / "encoder")
    return found.values, encoder.eval()


@pytest.mark.parametrize("golden", ENCODERS, indirect=True)
def test_the_pixels_that_it_is_fed(golden):
    values, encoder = golden
    expected = values["pixels_sample"]
    count, channels, rows, columns = expected.shape
    close(encoder.preprocessing(values["images"])[:count, :channels, :rows, :columns], expected)


@pytest.mark.parametrize("golden", ENCODERS, indirect=True)
def test_the_latents(golden):
    values, encoder = golden
    close(encoder(values["images"]), values["latent"])
    tokenizer = RAE(lambda: encoder, torch.nn.Identity(), values["mean"], values["var"])
    close(tokenizer.encode(values["images"]), values["normalised"])


@pytest.mark.parametrize("golden", ENCODERS, indirect=True)
def test_the_class_token(golden):
    values, encoder = golden
    tokens = encoder.parts.tokens(encoder.preprocessing(values["images"]))
    assert ("cls" in values) == (encoder.prefix > 0)
    if "cls" in values:
        close(tokens[:, 0], values["cls"])


@pytest.mark.parametrize("golden", TARGETS, indirect=True)
def test_what_reg_and_repa_are_trained_toward(golden):
    values, encoder = golden
    vision = Vision(encoder)
    images = values["images"].permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        close(vision.cls(images), values["reg_target"])
        close(vision.patches(images).flatten(2).transpose(1, 2), values["repa_target"])
