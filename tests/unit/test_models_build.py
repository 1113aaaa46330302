"""Small networks trained from scratch on drawn scenes, with the commands that the workflow calls."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nanogen.caches.files import LatentFile, TextFile
from nanogen.cli import main
from nanogen.config import load_model, load_study, stages
from nanogen.config.model_schema import Model
from nanogen.config.validation import merged
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_unit
from nanogen.errors import UserError
from nanogen.files import write_json
from nanogen.metrics import similarity
from nanogen.models.card import read_card
from nanogen.models.encoders import load_encoder
from nanogen.small_networks.encoder import draw_mask, patches, spread
from nanogen.small_networks.training import psnr, schedule
from nanogen.stage1.statistics import feature_moments
from nanogen.stage1.vae import build
from nanogen.tokenizers import load_tokenizer

ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
EVA = {"embed_dim": 16, "depth": 1, "num_heads": 2}


def briefly(steps: int, batch_size: int, **more) -> dict:
    """``stage1`` keys for ``steps`` steps on the 120 images, with pixel losses only."""
    keys = {"epochs": steps * batch_size / 120, "batch_size": batch_size, "adversarial": None}
    return merged(keys, {"terms": {"perceptual": 0}}, more)


KL = {"architecture": {"block_out_channels": [4, 4, 4]}, "stage1": briefly(4, 8)}
TINY = {
    "dinov3-b": {
        "architecture": {**ENCODER, "intermediate_size": 32},
        "training": {"steps": 3, "batch_size": 16},
    },
    "siglip2-b": {
        "architecture": {**ENCODER, "intermediate_size": 32},
        "training": {"steps": 3, "batch_size": 16},
    },
    "pe-l": {"architecture": EVA, "training": {"steps": 3, "batch_size": 16}},
    "langpe-l": {"architecture": EVA, "training": {"steps": 3, "batch_size": 16}},
    "spatialpe-l": {"architecture": EVA, "training": {"steps": 3, "batch_size": 16}},
    "rae-langpe-l": {
        "latent": [16, 4, 4],
        "architecture": {**ENCODER, "num_attention_heads": 2},
        "stage1": briefly(2, 16),
    },
    "flux1-vae": KL,
    "flux2-vae": KL,
    "qwen-image-vae": {
        "architecture": {"base_dim": 4, "dim_mult": [1, 1, 1]},
        "stage1": briefly(2, 4),
    },
    "dinov2-b": {"architecture": ENCODER, "training": {"steps": 6, "batch_size": 16}},
    "rae-dinov2-b": {
        "latent": [16, 4, 4],
        "architecture": {**ENCODER, "num_attention_heads": 2},
        "stage1": briefly(150, 16, optimizer={"learning_rate": 3e-3}),
    },
    "sd-vae-mse": {
        "architecture": {"block_out_channels": [8, 8, 8], "norm_num_groups": 4},
        "stage1": briefly(4, 8),
    },
    "qwen3": {
        "width": 16,
        "architecture": {**ENCODER, "intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8},
        "training": {"steps": 40, "batch_size": 16, "learning_rate": 1e-2},
    },
}

SIZES = {"train_images": 120, "val_images": 40}


class Workspace:
    """A tiny study's scenes, and commands that run on them."""

    def __init__(self, folder):
        self.folder = folder
        self.study = load_study("nano", {"data": SIZES, "models": TINY})
        for name, split in product(("t2i", "pretraining"), ("train", "val")):
            write_images(stages.data(self.study, name, split), self.data(split, name))

    def data(self, split, name="pretraining"):
        return self.folder / f"{name}-{split}.h5"

    def run(self, command, stage, output, **options):
        config = self.folder / "stage.json"
        write_json(config, stage)
        given = [f"--{name}={value}" for name, value in options.items()]
        status = main([command, f"--config={config}", f"--output={output}", *given])
        return status, output

    def build(self, name, output=None, study=None, encoder=None):
        stage = stages.model(study or self.study, name)
        status, folder = self.train(stage, self.folder / (output or name), encoder)
        assert status == 0
        return folder

    def train(self, stage, target, encoder=None):
        files = {split: self.data(split, stage["model"]["data"]) for split in ("train", "val")}
        if stage["model"]["kind"] not in ("vae", "rae"):
            return self.run("build-model", stage, target, **files)
        files["state"] = f"{target}-state"
        if encoder:
            files["network"] = f"{stage['networks']['encoder']['name']}={encoder}"
        return self.run("train-tokenizer", stage, target, **files)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def encoder(workspace):
    return workspace.build("dinov2-b")


@pytest.fixture(scope="module")
def vae(workspace):
    return workspace.build("sd-vae-mse")


def test_a_vae_is_trained_saved_and_scaled_to_unit_latents(workspace, vae):
    card = read_card(vae)
    assert card["hash"] == stages.model(workspace.study, "sd-vae-mse")["hash"]
    assert card["quality"]["latent_std"] == pytest.approx(1, abs=0.3)
    images = ImageFile(workspace.data("train", "t2i"))
    tokenizer = load_tokenizer(vae)
    latents = tokenizer.encode(torch.from_numpy(np.array(images.images)))
    assert latents.shape == (120, 4, 8, 8)
    assert float(latents.std()) == pytest.approx(1, abs=1e-3)


def test_a_cards_quality_is_that_of_all_of_a_few_images(workspace, vae):
    pictures = torch.from_numpy(np.array(ImageFile(workspace.data("val", "t2i")).images))
    tokenizer, quality = load_tokenizer(vae), read_card(vae)["quality"]
    latents = tokenizer.encode(pictures)
    decibels = similarity.psnr(to_unit(tokenizer.decode_uint8(latents)), to_unit(pictures))
    assert quality["psnr"] == pytest.approx(float(decibels.mean()), rel=1e-5)
    assert quality["latent_std"] == pytest.approx(float(latents.std()), rel=1e-5)


@pytest.mark.parametrize("name", ["flux1-vae", "flux2-vae", "qwen-image-vae"])
def test_every_class_of_vae_is_trained_and_carries_its_statistics(workspace, name):
    folder = workspace.build(name)
    model = read_card(folder)["model"]
    images = ImageFile(workspace.data("train", "t2i")).images
    latents = load_tokenizer(folder).encode(torch.from_numpy(np.array(images)))
    assert list(latents.shape[1:]) == model["latent"]
    by_channel = model["normalisation"] != "scale-shift"
    axes = (0, 2, 3) if by_channel else (0, 1, 2, 3)
    assert latents.mean(axes).abs().max() < 1e-3
    assert latents.std(axes).max() < 1.001  # below 1 if a batch norm's epsilon matters
    assert latents.std(axes).min() > 0.5


@pytest.mark.parametrize("name", ["dinov3-b", "siglip2-b", "pe-l", "langpe-l", "spatialpe-l"])
def test_every_class_of_encoder_is_trained_and_gives_a_grid_of_features(workspace, name):
    folder = workspace.build(name)
    pictures = torch.from_numpy(np.array(ImageFile(workspace.data("val")).images))
    features = load_encoder(folder)(pictures)
    assert features.shape == (40, 16, 4, 4)
    assert torch.isfinite(features).all()
    assert features.std(0).min() > 0


def test_a_rae_of_a_timm_encoder_is_self_contained(workspace):
    folder = workspace.build("rae-langpe-l", encoder=workspace.build("langpe-l", "its-encoder"))
    shutil.rmtree(workspace.folder / "its-encoder")
    pictures = torch.from_numpy(np.array(ImageFile(workspace.data("val")).images))
    assert load_tokenizer(folder).encode(pictures).shape == (40, 16, 4, 4)


def test_a_rae_is_trained_on_an_encoder_given_by_path_with_the_studys_keys(workspace, encoder, tmp_path):
    """The folder is as a hub has it, without what this program adds."""
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(encoder / name, tmp_path / name)
    given = {"source": "path", "path": str(tmp_path), "last_norm": "none", "image_mean": [0.1, 0.2, 0.3]}
    models = merged(TINY, {"dinov2-b": given, "rae-dinov2-b": {"stage1": briefly(2, 16)}})
    study = load_study("nano", {"data": SIZES, "models": models})
    folder = workspace.build("rae-dinov2-b", "rae-by-path", study, tmp_path)
    pictures = torch.from_numpy(np.array(ImageFile(workspace.data("train")).images))
    features = load_encoder(tmp_path, load_model(study, "dinov2-b"))(pictures)
    latents = load_tokenizer(folder).encode(pictures)
    deviation = (features.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(latents, (features - features.mean(0)) / deviation, rtol=1e-3, atol=1e-3)


def test_a_normalisation_that_a_class_cannot_carry_is_refused(workspace, capsys):
    keys = {"flux2-vae": {"normalisation": "scale"}}
    study = load_study("nano", {"data": SIZES, "models": merged(TINY, keys)})
    stage = stages.model(study, "flux2-vae")
    status, _ = workspace.train(stage, workspace.folder / "no")
    assert status == 2
    assert "choose batch-norm" in capsys.readouterr().err


def test_the_same_stage_trains_the_same_weights(workspace, vae):
    again = workspace.build("sd-vae-mse", "again")
    name = "diffusion_pytorch_model.safetensors"
    first, second = load_file(vae / name), load_file(again / name)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_rae_is_self_contained_and_learns_to_reconstruct(workspace, encoder):
    folder = workspace.build("rae-dinov2-b", encoder=encoder)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.latent_shape == (16, 4, 4)
    images = ImageFile(workspace.data("train")).images
    latents = tokenizer.encode(torch.from_numpy(np.array(images)))
    assert latents.mean(0).abs().max() < 1e-3
    grey = psnr(float(np.var(images / 127.5)))  # PSNR of a single colour for all pixels
    assert read_card(folder)["quality"]["psnr"] > grey


def test_a_rae_needs_the_encoder_that_its_stage_names(workspace, encoder, vae, capsys):
    stage = stages.model(workspace.study, "rae-dinov2-b")
    status, output = workspace.train(stage, workspace.folder / "no")
    assert status == 2
    assert "needs dinov2-b as its encoder: give --network dinov2-b=DIR" in capsys.readouterr().err
    status, _ = workspace.train(stage, output, encoder=vae)
    assert status == 2
    assert "another configuration" in capsys.readouterr().err
    assert not output.exists()


def test_a_text_encoder_learns_the_captions_and_feeds_the_cache(workspace):
    folder = workspace.build("qwen3")
    quality = read_card(folder)["quality"]
    assert quality["perplexity"] < quality["vocabulary"] / 4
    stage = stages.text(workspace.study, "t2i", "qwen3")
    data = workspace.data("train", "t2i")
    status, output = workspace.run(
        "encode-text", stage, workspace.folder / "text.h5", data=data, encoder=folder
    )
    assert status == 0
    cache = TextFile(output, stage["hash"])
    assert len(cache) == 120
    assert cache.width == 16
    assert (cache.lengths[:, 1] >= cache.lengths[:, 0]).all()


def test_latents_are_cached_by_the_command_and_only_for_their_tokenizer(workspace, vae, capsys):
    stage = stages.latents(workspace.study, "t2i", "sd-vae-mse")
    data = workspace.data("train", "t2i")
    status, output = workspace.run(
        "encode-latents", stage, workspace.folder / "latents.h5", data=data, tokenizer=vae
    )
    assert status == 0
    cache = LatentFile(output, stage["hash"])
    assert cache.shape == (4, 8, 8)
    assert float(np.std(cache.latents)) == pytest.approx(1, abs=1e-2)
    other = {**stage, "expects": {**stage["expects"], "tokenizer": "0" * 16}}
    status, _ = workspace.run(
        "encode-latents", other, workspace.folder / "x.h5", data=data, tokenizer=vae
    )
    assert status == 2
    assert "0000000000000000" in capsys.readouterr().err


def test_feature_moments_do_not_depend_on_the_batches(workspace):
    class Shifted(torch.nn.Module):
        """Features with a mean far larger than their spread."""

        def forward(self, images):
            return images[:, :2, :2].permute(0, 3, 1, 2).float() / 255 + 1000

    images = np.random.default_rng(0).integers(0, 256, (610, 2, 2, 3), np.uint8)
    mean, var = feature_moments(Shifted(), images)
    exact = images.astype(np.float64).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(mean, exact.mean(0) + 1000, rtol=1e-6)
    np.testing.assert_allclose(var, exact.var(0), rtol=1e-3)


def test_an_unknown_key_of_an_architecture_is_refused_with_the_nearest():
    def build_vae(**architecture):
        keys = {"name": "m", "kind": "vae", "model_class": "AutoencoderKL", "latent": (4, 8, 8)}
        return build(Model(**keys, architecture=architecture), 32)

    with pytest.raises(UserError, match="did you mean 'block_out_channels'"):
        build_vae(block_out_chanels=[8])
    with pytest.raises(UserError, match="latent rows"):
        build_vae(block_out_channels=[32, 32])
    with pytest.raises(UserError, match="must be divisible"):
        build_vae(block_out_channels=[8, 8, 8])


def test_masks_hide_the_same_number_of_patches_in_every_image():
    mask = draw_mask(50, 16, torch.Generator().manual_seed(0))
    assert (mask.sum(1) == 6).all()
    assert mask.float().mean(0).min() > 0.2


def test_a_hidden_patch_covers_its_pixels():
    mask = torch.zeros(1, 16, dtype=torch.bool)
    mask[0, 6] = True  # second row, third column
    hidden = spread(mask, 2)[0, 0]
    assert hidden.nonzero().tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_patches_run_row_by_row():
    image = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    assert patches(image, 2)[0, :, 0].tolist() == [0, 2, 8, 10]


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [schedule(step, 100) for step in range(101)]
    assert rates.index(max(rates)) in (4, 5)
    assert rates[100] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(rates[5:]))


def test_the_card_is_plain_json(vae):
    card = json.loads((vae / "nanogen.json").read_text())
    assert {"format", "format_version", "hash", "name", "kind", "quality", "seconds"} <= set(card)
