"""Tokenizers: what training and sampling rely on, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanogen.config import stages
from nanogen.config.cache_stage import CacheStage
from nanogen.config.model_schema import Model
from nanogen.config.sample_stage import OnlineStage, SampleStage
from nanogen.errors import UserError
from nanogen.models.encoders import Preprocessing, load_encoder
from nanogen.models.loading import save_network
from nanogen.sampling.inputs import tokenizer_of
from nanogen.tokenizers import load_tokenizer, to_uint8
from nanogen.tokenizers.pixels import Pixels
from nanogen.tokenizers.rae import STATISTICS
from nanogen.tokenizers.vit_decoder import ViTDecoder

VAE_CONFIG = Model(name="tiny", kind="vae", model_class="AutoencoderKL", latent=(4, 8, 8))
RAE_CONFIG = Model(name="tiny", kind="rae", model_class="nanogen.RAE", latent=(16, 4, 4))


def images(count=3, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def vae_folder(tmp_path_factory):
    from diffusers import AutoencoderKL

    torch.manual_seed(1)
    network = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.5,
        shift_factor=0.25,
    )
    folder = tmp_path_factory.mktemp("vae")
    save_network(network, folder)
    return folder


@pytest.fixture(scope="module")
def rae_folder(tmp_path_factory):
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(2)
    config = Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=8, image_size=32
    )
    network = Dinov2WithRegistersModel(config)
    torch.nn.init.normal_(network.layernorm.weight, 3.0, 1.0)
    folder = tmp_path_factory.mktemp("rae")
    save_network(network, folder / "encoder")
    Preprocessing(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).write(folder / "encoder")
    ViTDecoder(
        latent=(16, 4, 4), resolution=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    ).save_pretrained(folder / "decoder")
    features = load_encoder(folder / "encoder")(images(64))
    save_file({"mean": features.mean(0), "var": features.var(0)}, folder / STATISTICS)
    return folder


def test_pixels_return_every_level_of_an_image():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    pixels = Pixels(16)
    latents = pixels.encode(levels)
    assert latents.shape == (1, *pixels.latent_shape)
    assert latents.min() == -1
    assert latents.max() == 1
    assert torch.equal(pixels.decode_uint8(latents), levels)


def test_uint8_is_rounded_not_truncated():
    values = (torch.tensor([10.4, 10.6, -3.0, 260.0]) / 127.5 - 1).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_uint8(values)[0, :, :, 0].flatten().tolist() == [10, 11, 0, 255]


def test_vae_latents_are_the_scaled_mode_of_the_posterior(vae_folder):
    from diffusers import AutoencoderKL

    network = AutoencoderKL.from_pretrained(vae_folder)
    pixels = images().permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        mode = network.encode(pixels).latent_dist.mean
    own = load_tokenizer(vae_folder, VAE_CONFIG).encode(images())
    torch.testing.assert_close(own, (mode - 0.25) * 0.5)
    given = load_tokenizer(vae_folder, VAE_CONFIG.model_copy(update={"scaling": (2.0, 0.0)}))
    torch.testing.assert_close(given.encode(images()), mode * 2)
    with torch.no_grad():
        expected = network.decode(mode).sample
    torch.testing.assert_close(given.decode(mode * 2), expected)


DRAWN = {
    "sample": lambda study, name: SampleStage.from_json(stages.sample(study, name, "imagenet", "cfg")),
    "online": lambda study, name: OnlineStage.from_json(stages.online(study, name, "imagenet")),
}


def of_a_study(tiny, name, folder, **keys):
    """A study whose method ``name`` has the tokenizer in ``folder``, and that tokenizer to encode."""
    study = tiny(methods=[name], models={name: {"source": "path", "path": str(folder), **keys}})
    stage = CacheStage.from_json(stages.latents(study, "imagenet", name))
    return study, load_tokenizer(folder, stage.model)


@pytest.mark.parametrize("drawn", DRAWN)
def test_latents_are_decoded_with_the_scaling_that_they_were_encoded_with(tiny, vae_folder, drawn):
    """The study's scaling, not that of the folder's own config."""
    study, encoding = of_a_study(tiny, "sd-vae-mse", vae_folder, scaling=[2.0, 0.5])
    latents = encoding.encode(images())
    decoding = tokenizer_of(DRAWN[drawn](study, "sd-vae-mse"), vae_folder)
    torch.testing.assert_close(decoding.decode(latents), encoding.decode(latents))


def test_a_tokenizer_whose_folder_does_not_give_its_size_decodes_samples(tiny, tmp_path):
    from diffusers import AutoencoderKLQwenImage

    sizes = {"base_dim": 4, "z_dim": 8, "dim_mult": [1, 1, 1], "num_res_blocks": 1}
    sizes["temperal_downsample"] = [False, True]
    moments = {"latents_mean": [0.0] * 8, "latents_std": [1.0] * 8}
    save_network(AutoencoderKLQwenImage(**sizes, **moments), tmp_path)
    study, _ = of_a_study(tiny, "qwen-image-vae", tmp_path)
    decoding = tokenizer_of(DRAWN["sample"](study, "qwen-image-vae"), tmp_path)
    assert decoding.decode_uint8(torch.zeros(1, 8, 8, 8)).shape == (1, 32, 32, 3)


def test_a_large_batch_is_decoded_in_parts(vae_folder):
    tokenizer = load_tokenizer(vae_folder, VAE_CONFIG)
    latents = torch.randn(70, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    sizes = []
    tokenizer.network.decoder.register_forward_hook(lambda _, given, out: sizes.append(len(out)))
    with torch.no_grad():
        found = tokenizer.decode_uint8(latents)
        assert sizes == [32, 32, 6]
        alone = torch.cat([tokenizer.decode_uint8(one[None]) for one in latents])
    assert (found.int() - alone.int()).abs().max() <= 1  # sums in another order round differently


def test_vae_uses_the_statistics_per_channel_of_its_own_config(vae_folder, tmp_path):
    for file in vae_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"latents_mean": [1.0, 2.0, 3.0, 4.0], "latents_std": [1.0, 2.0, 4.0, 8.0]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    unscaled = VAE_CONFIG.model_copy(update={"scaling": (1.0, 0.0)})
    raw = load_tokenizer(vae_folder, unscaled).encode(images())
    mean, std = (torch.tensor(config[k]).view(1, 4, 1, 1) for k in ("latents_mean", "latents_std"))
    latents = load_tokenizer(tmp_path, VAE_CONFIG).encode(images())
    torch.testing.assert_close(latents, (raw - mean) / std)


def test_rae_latents_have_mean_zero_and_variance_one_per_cell(rae_folder):
    tokenizer = load_tokenizer(rae_folder, RAE_CONFIG)
    latents = tokenizer.encode(images(64))
    assert latents.shape == (64, 16, 4, 4)
    assert latents.mean(0).abs().max() < 1e-4
    assert (latents.std(0) - 1).abs().max() < 1e-2
    decoded = tokenizer.decode_uint8(latents[:2])
    assert decoded.shape == (2, 32, 32, 3)
    assert decoded.dtype == torch.uint8


def test_rae_features_are_normed_without_the_affine_part(rae_folder):
    features = load_encoder(rae_folder / "encoder")(images())
    assert features.mean(1).abs().max() < 1e-5
    torch.testing.assert_close(features.var(1, correction=0), torch.ones(3, 4, 4), atol=1e-3, rtol=0)


def test_encoder_preprocessing_resizes_and_normalises():
    flat = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    fed = Preprocessing(56, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1))(flat)
    assert fed.shape == (1, 3, 56, 56)
    torch.testing.assert_close(fed[0, :, 5, 7], torch.tensor([1.0, 3.0, 7.0]))


def test_vit_decoder_puts_every_patch_in_its_place():
    decoder = ViTDecoder(
        latent=(4, 2, 2), resolution=8, hidden_size=8, num_hidden_layers=0, num_attention_heads=1
    )
    latents = torch.randn(1, 4, 2, 2)
    changed = latents.clone()
    changed[0, :, 0, 1] += 1
    difference = (decoder(latents) - decoder(changed)).abs().sum((0, 1)) > 1e-6
    assert difference[:4, 4:].all()
    assert not difference[4:].any()
    assert not difference[:, :4].any()


@pytest.mark.parametrize(
    "option", [{"layer_norm_eps": 1.0}, {"hidden_act": "gelu_new"}, {"qkv_bias": False}]
)
def test_the_options_of_a_decoder_count_and_are_kept(option, tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    made = []
    for options in ({}, option):
        torch.manual_seed(0)
        decoder = ViTDecoder(latent=(4, 2, 2), resolution=8, **sizes, **options)
        decoder.save_pretrained(tmp_path)
        made.append(ViTDecoder.from_pretrained(tmp_path)(torch.ones(1, 4, 2, 2)))
        assert torch.equal(made[-1], decoder(torch.ones(1, 4, 2, 2)))
    assert not torch.equal(*made)


def test_an_unknown_activation_is_refused_with_those_that_are_known():
    with pytest.raises(UserError, match=r"hidden_act 'gelu_nwe' is not known; did you mean 'gelu_new'"):
        ViTDecoder(
            latent=(4, 2, 2),
            resolution=8,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            hidden_act="gelu_nwe",
        )


def test_the_eps_of_the_statistics_counts(rae_folder):
    plain, other = (
        load_tokenizer(rae_folder, RAE_CONFIG.model_copy(update={"statistics_eps": eps}))
        for eps in (1e-5, 0.5)
    )
    deviation = (plain.std.square() + 0.5 - 1e-5).sqrt()
    torch.testing.assert_close(other.encode(images(2)) * deviation, plain.encode(images(2)) * plain.std)


def test_decoder_pixels_are_row_column_channel():
    decoder = ViTDecoder(
        latent=(4, 1, 1), resolution=4, hidden_size=8, num_hidden_layers=0, num_attention_heads=1
    )
    with torch.no_grad():
        decoder.pixels.weight.zero_()
        decoder.pixels.bias.copy_(torch.arange(48))
    out = decoder(torch.zeros(1, 4, 1, 1))
    torch.testing.assert_close(out[0].permute(1, 2, 0).flatten(), torch.arange(48.0))


@pytest.mark.parametrize("missing", ["statistics.safetensors", "decoder/model.safetensors"])
def test_a_rae_without_a_part_is_refused_by_name(rae_folder, tmp_path, missing):
    for file in rae_folder.rglob("*.*"):
        if file.is_file() and file.relative_to(rae_folder).as_posix() != missing:
            target = tmp_path / file.relative_to(rae_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=missing):
        load_tokenizer(tmp_path, RAE_CONFIG)


def test_missing_weights_are_an_error(vae_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((vae_folder / "config.json").read_bytes())
    weights = load_file(vae_folder / "diffusion_pytorch_model.safetensors")
    del weights["decoder.conv_in.weight"]
    save_file(weights, tmp_path / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"decoder\.conv_in\.weight"):
        load_tokenizer(tmp_path, VAE_CONFIG)


def test_truncated_weights_are_an_error(vae_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((vae_folder / "config.json").read_bytes())
    content = (vae_folder / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"has \d+ of \d+ bytes"):
        load_tokenizer(tmp_path, VAE_CONFIG)


def test_wrong_folders_are_refused_with_a_sentence(vae_folder, tmp_path):
    with pytest.raises(UserError, match="no tokenizer at"):
        load_tokenizer(tmp_path / "nowhere", VAE_CONFIG)
    with pytest.raises(UserError, match=r"no config\.json"):
        load_tokenizer(tmp_path, VAE_CONFIG)
    with pytest.raises(UserError, match="is not a tokenizer"):
        load_tokenizer(vae_folder, VAE_CONFIG.model_copy(update={"kind": "encoder"}))
    with pytest.raises(UserError, match="4x8x8"):
        load_tokenizer(vae_folder, VAE_CONFIG.model_copy(update={"latent": (16, 8, 8)}))
    with pytest.raises(UserError, match="holds a AutoencoderKL"):
        load_tokenizer(vae_folder, VAE_CONFIG.model_copy(update={"model_class": "AutoencoderKLFlux2"}))


def test_a_folder_without_a_card_says_itself_what_it_is(vae_folder):
    tokenizer = load_tokenizer(vae_folder)
    assert tokenizer.latent_shape == (4, 8, 8)
    assert not any(p.requires_grad for p in tokenizer.parameters())
