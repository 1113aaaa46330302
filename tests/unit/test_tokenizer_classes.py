"""Every class of tokenizer agrees with its own library; nothing is re-implemented."""

from __future__ import annotations

import csv

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from nanogen.config import load_model, load_study
from nanogen.config.load import load_run
from nanogen.config.model_schema import Model
from nanogen.config.schema import PIXELS
from nanogen.config.yaml_files import available
from nanogen.errors import UserError
from nanogen.files import write_json
from nanogen.models import timm_networks
from nanogen.models.encoders import Preprocessing, VisionEncoder, load_encoder
from nanogen.models.loading import network_class, save_network
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.latent_layouts import layout_of
from nanogen.tokenizers.normalisation import read, write

HALF = (0.5, 0.5, 0.5)


def images(count=2, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def signed(uint8):
    return uint8.permute(0, 3, 1, 2).float() / 127.5 - 1


def channels(values):
    return torch.as_tensor(values).view(1, -1, 1, 1)


# ------------------------------------------------------------------------------- autoencoders


def tiny_vae(class_name, **keys):
    torch.manual_seed(1)
    levels = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
    }
    small = {"block_out_channels": (8, 8, 8), "norm_num_groups": 1, "sample_size": 32, **levels}
    if class_name == "AutoencoderKLQwenImage":
        small = {
            "base_dim": 8,
            "dim_mult": [1, 1, 1],
            "num_res_blocks": 1,
            "temperal_downsample": [False, True],
        }
    return network_class(class_name)(**{**small, **keys}).eval()


def stored(network, folder, latent):
    save_network(network, folder)
    name = type(network).__name__
    return load_tokenizer(folder, Model(name="tiny", kind="vae", model_class=name, latent=latent))


def test_sd35_and_flux1_shift_then_scale_and_have_no_quant_convolutions(tmp_path):
    network = tiny_vae(
        "AutoencoderKL",
        latent_channels=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    tokenizer = stored(network, tmp_path, [16, 8, 8])
    with torch.no_grad():
        latents = (network.encode(signed(images())).latent_dist.mode() - 0.1159) * 0.3611
        decoded = network.decode(latents / 0.3611 + 0.1159).sample
    torch.testing.assert_close(tokenizer.encode(images()), latents)
    torch.testing.assert_close(tokenizer.decode(latents), decoded, rtol=1e-4, atol=1e-5)


def test_an_e2e_vae_is_normalised_by_the_statistics_of_its_config(tmp_path):
    mean, std = [0.1, -0.2, 0.3, 0.4], [0.5, 2.0, 1.5, 3.0]
    network = tiny_vae("AutoencoderKL", latent_channels=4, latents_mean=mean, latents_std=std)
    tokenizer = stored(network, tmp_path, [4, 8, 8])
    with torch.no_grad():
        latents = (network.encode(signed(images())).latent_dist.mode() - channels(mean)) / channels(std)
        decoded = network.decode(latents * channels(std) + channels(mean)).sample
    torch.testing.assert_close(tokenizer.encode(images()), latents)
    torch.testing.assert_close(tokenizer.decode(latents), decoded, rtol=1e-4, atol=1e-5)


def test_flux2_folds_cells_as_its_pipeline_and_uses_its_own_batch_norm(tmp_path):
    network = tiny_vae("AutoencoderKLFlux2", latent_channels=8, batch_norm_eps=0.05)
    network.bn.running_mean.normal_()
    network.bn.running_var.uniform_(0.01, 2)
    tokenizer = stored(network, tmp_path, [32, 4, 4])
    with torch.no_grad():
        mode = network.encode(signed(images())).latent_dist.mode()  # (2, 8, 8, 8)
        folded = mode.view(2, 8, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 32, 4, 4)
        latents = network.bn(folded)
        decoded = network.decode(mode).sample
    torch.testing.assert_close(tokenizer.encode(images()), latents)
    torch.testing.assert_close(tokenizer.decode(latents), decoded, rtol=1e-4, atol=1e-5)


def test_flux2_of_the_paper_is_normalised_with_its_authors_epsilon(tmp_path):
    network = tiny_vae("AutoencoderKLFlux2", latent_channels=8)
    network.bn.running_var.uniform_(0.001, 0.01)
    save_network(network, tmp_path)
    model, small = (load_model(load_study(name), "flux2-vae") for name in ("paper", "nano"))
    theirs, own = (
        load_tokenizer(tmp_path, each.model_copy(update={"latent": (32, 4, 4)}))
        for each in (model, small)
    )
    network.bn.eps = 1e-5
    with torch.no_grad():
        folded = F.pixel_unshuffle(network.encode(signed(images())).latent_dist.mode(), 2)
        torch.testing.assert_close(theirs.encode(images()), network.bn(folded))
    torch.testing.assert_close(own.scale.flatten(), (network.bn.running_var + 1e-4).rsqrt())


@pytest.mark.parametrize(("way", "shift"), [("scale", 0.0), ("scale-shift", 3.0)])
def test_one_scale_replaces_the_statistics_per_channel_of_the_vae_that_it_was_tuned_from(way, shift):
    old = {"latents_mean": [9.0] * 4, "latents_std": [9.0] * 4}
    network = tiny_vae("AutoencoderKL", latent_channels=4, **old)
    write(network, way, torch.full((4, 8, 8), 3.0), torch.full((4, 8, 8), 4.0))
    assert [values.tolist() for values in read(network)] == [[0.5], [shift]]


def test_qwen_image_sees_every_picture_as_a_film_of_one_frame(tmp_path):
    mean, std = [0.1, -0.2, 0.3, 0.4], [0.5, 2.0, 1.5, 3.0]
    network = tiny_vae("AutoencoderKLQwenImage", z_dim=4, latents_mean=mean, latents_std=std)
    tokenizer = stored(network, tmp_path, [4, 8, 8])
    with torch.no_grad():
        film = network.encode(signed(images())[:, :, None]).latent_dist.mode()  # (2, 4, 1, 8, 8)
        latents = (film[:, :, 0] - channels(mean)) / channels(std)
        decoded = network.decode(film).sample[:, :, 0]
    torch.testing.assert_close(tokenizer.encode(images()), latents)
    torch.testing.assert_close(tokenizer.decode(latents), decoded, rtol=1e-4, atol=1e-5)


def test_an_autoencoder_of_another_class_with_the_same_weights_is_refused(tmp_path):
    network = tiny_vae("AutoencoderKLFlux2", latent_channels=4)
    save_network(network, tmp_path)
    with pytest.raises(UserError, match="holds a AutoencoderKLFlux2, not a AutoencoderKL"):
        load_tokenizer(tmp_path, Model(name="tiny", kind="vae", model_class="AutoencoderKL"))


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderKLFlux2"])
def test_a_folder_that_names_its_class_needs_no_configuration(tmp_path, name):
    save_network(tiny_vae(name, latent_channels=4), tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    latents = tokenizer.encode(images())
    assert latents.shape[1:] == tokenizer.latent_shape
    assert tokenizer.decode(latents).shape == (2, 3, 32, 32)


# ----------------------------------------------------------------------------------- encoders

VIT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 48,
}
EVA = {
    "img_size": 48,
    "patch_size": 8,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "attn_type": "rope",
    "use_pre_transformer_norm": True,
    "use_rot_pos_emb": True,
    "rope_grid_indexing": "xy",
}


def tiny_encoder(class_name, **keys):
    """A small, randomly initialised network of the transformers library."""
    torch.manual_seed(2)
    network = network_class(class_name)
    return network(network.config_class(**{**VIT, **keys})).eval()


def preprocessed(uint8, size, mode, mean, std):
    resized = F.interpolate(uint8.permute(0, 3, 1, 2) / 255, (size, size), mode=mode)
    return (resized - channels(mean)) / channels(std)


@pytest.mark.parametrize(
    ("class_name", "norm", "keys", "prefix", "learned"),
    [
        ("Dinov2WithRegistersModel", "layernorm", {"num_register_tokens": 4}, 5, False),
        ("DINOv3ViTModel", "norm", {"num_register_tokens": 3}, 4, False),
        ("SiglipVisionModel", "post_layernorm", {}, 0, True),
    ],
)
def test_of_the_last_norm_only_siglip_keeps_what_it_learned(
    tmp_path, class_name, norm, keys, prefix, learned
):
    network = tiny_encoder(class_name, **keys)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    last = getattr(network, norm)
    nn.init.normal_(last.weight, 3.0, 1.0)
    nn.init.normal_(last.bias)
    save_network(network, tmp_path)
    Preprocessing(48, mean, std).write(tmp_path)
    setattr(network, norm, nn.Identity())
    with torch.no_grad():
        tokens = network(pixel_values=preprocessed(images(), 48, "bicubic", mean, std)).last_hidden_state
    affine = {"weight": last.weight, "bias": last.bias, "eps": last.eps} if learned else {"eps": 1e-5}
    expected = F.layer_norm(tokens[:, prefix:], (16,), **affine).detach()
    expected = expected.transpose(1, 2).reshape(2, 16, 6, 6)
    torch.testing.assert_close(load_encoder(tmp_path)(images()), expected, rtol=1e-4, atol=1e-4)


def encoder_of(model_class, size, interpolation="bicubic"):
    return Model(
        name="tiny",
        kind="encoder",
        model_class=model_class,
        input_size=size,
        image_mean=HALF,
        image_std=HALF,
        interpolation=interpolation,
    )


def test_the_vision_part_of_a_whole_siglip_is_found(tmp_path):
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(3)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 20}
    whole = SiglipModel(SiglipConfig(vision_config=VIT, text_config={**text, "num_attention_heads": 2}))
    whole.eval().save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path, encoder_of("SiglipVisionModel", 48))
    assert torch.equal(
        encoder.network.state_dict()["encoder.layers.1.mlp.fc1.weight"],
        whole.vision_model.state_dict()["encoder.layers.1.mlp.fc1.weight"],
    )
    assert encoder(images()).shape == (2, 16, 6, 6)


@pytest.mark.parametrize("ends_with_norm", [True, False])
def test_a_perception_encoder_is_resized_bilinearly_and_its_tokens_are_not_normed(
    tmp_path, ends_with_norm
):
    torch.manual_seed(4)
    arguments = {**EVA, "use_post_transformer_norm": ends_with_norm, "use_fc_norm": False}
    network = timm_networks.build("timm:Eva", arguments).eval()
    if ends_with_norm:
        nn.init.normal_(network.norm.weight, 3.0, 1.0)
        nn.init.normal_(network.norm.bias)
    timm_networks.save(network, arguments, tmp_path)
    encoder = load_encoder(tmp_path, encoder_of("timm:Eva", 48, "bilinear"))
    network.norm = nn.Identity()
    with torch.no_grad():
        tokens = network.forward_features(preprocessed(images(), 48, "bilinear", HALF, HALF))[:, 1:]
    expected = tokens.transpose(1, 2).reshape(2, 16, 6, 6)
    torch.testing.assert_close(encoder(images()), expected, rtol=1e-4, atol=1e-4)


def test_the_eps_of_the_norms_of_a_timm_encoder_counts(tmp_path):
    arguments = {"img_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 1, "num_heads": 2}
    torch.manual_seed(4)
    network = timm_networks.build(timm_networks.VIT, arguments)
    timm_networks.save(network, arguments, tmp_path)
    model = encoder_of(timm_networks.VIT, 32, "bilinear")
    plain, same, other = (
        load_encoder(tmp_path, model.model_copy(update={"norm_eps": eps}))(images())
        for eps in (None, 1e-6, 1.0)
    )
    assert torch.equal(plain, same)
    assert not torch.allclose(plain, other, rtol=0.01)


@pytest.mark.parametrize("name", ["vit_pe_core_tiny_patch16_384", "vit_pe_spatial_tiny_patch16_512"])
def test_a_published_perception_encoder_is_fitted_to_another_size_as_its_authors_do(tmp_path, name):
    import timm

    torch.manual_seed(5)
    classes = 512 if "core" in name else 0
    weights = timm.create_model(name, num_classes=classes).state_dict()
    save_file(weights, tmp_path / "model.safetensors")
    write_json(tmp_path / "config.json", {"architecture": name, "num_classes": classes})
    encoder = load_encoder(tmp_path, encoder_of(f"timm:{name}", 64, "bilinear"))
    # with the grid itself as reference shape, rotary positions are whole numbers
    own = timm.create_model(name, num_classes=classes, img_size=64, ref_feat_shape=(4, 4)).eval()
    front, cells = weights["pos_embed"][:, :1], weights["pos_embed"][:, 1:]
    side = round(cells.shape[1] ** 0.5)
    cells = F.interpolate(cells.transpose(1, 2).unflatten(2, (side, side)), (4, 4), mode="bilinear")
    positions = torch.cat([front, cells.flatten(2).transpose(1, 2)], dim=1)
    own.load_state_dict({**weights, "pos_embed": positions})
    own.norm = nn.Identity()
    with torch.no_grad():
        tokens = own.forward_features(preprocessed(images(), 64, "bilinear", HALF, HALF))[:, 1:]
    expected = tokens.transpose(1, 2).reshape(2, 192, 4, 4)
    torch.testing.assert_close(encoder(images()), expected, rtol=1e-4, atol=1e-4)


def test_a_name_that_timm_does_not_know_is_refused(tmp_path):
    write_json(tmp_path / "config.json", {"architecture": "vit_pe_core_huge"})
    with pytest.raises(UserError, match="timm cannot build 'vit_pe_core_huge'"):
        load_encoder(tmp_path, encoder_of("timm:vit_pe_core_huge", 32))


# -------------------------------------------------------------------------- the paper's shapes

# The parts of the published config.json files that determine the latent's shape.
LEVELS = {"block_out_channels": (128, 256, 512, 512)}
PUBLISHED_VAES = {
    "sd-vae-ema": {**LEVELS, "latent_channels": 4},
    "sd-vae-mse": {**LEVELS, "latent_channels": 4},
    "sdxl-vae": {**LEVELS, "latent_channels": 4},
    "sd3.5-vae": {**LEVELS, "latent_channels": 16},
    "flux1-vae": {**LEVELS, "latent_channels": 16},
    "flux2-vae": LEVELS,
    "qwen-image-vae": {},
    "e2e-va-vae": {"block_out_channels": (128, 128, 256, 256, 512), "latent_channels": 32},
    "e2e-flux1-vae": {**LEVELS, "latent_channels": 16},
    "e2e-sd3.5-vae": {**LEVELS, "latent_channels": 16},
    "e2e-qwen-image-vae": {},
}
PUBLISHED_ENCODERS = {
    "dinov2-b": {"hidden_size": 768, "patch_size": 14, "image_size": 518, "num_register_tokens": 4},
    "dinov3-b": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "patch_size": 16,
        "num_register_tokens": 4,
    },
    "siglip2-b": {"hidden_size": 768, "patch_size": 16, "image_size": 256},
    "pe-l": {},
    "langpe-l": {},
    "spatialpe-l": {},
}


@pytest.fixture(scope="module")
def paper():
    return load_study("paper")


@pytest.mark.parametrize("name", PUBLISHED_VAES)
def test_the_published_autoencoder_makes_the_latent_of_the_paper(paper, name):
    model = load_model(paper, name)
    layout = layout_of(model.model_class)
    keys = layout.arguments(model.latent[0], 256, PUBLISHED_VAES[name])
    with torch.device("meta"):
        network = network_class(model.model_class)(**keys)
        mode = network.encode(layout.enter(torch.zeros(1, 3, 256, 256))).latent_dist.mode()
    assert tuple(layout.pack(mode).shape[1:]) == model.latent
    assert layout.channels(network.config) == model.latent[0]
    assert 256 // layout.reduction(network.config) == model.latent[1]


@pytest.mark.parametrize("name", PUBLISHED_ENCODERS)
def test_the_published_encoder_makes_the_latent_of_the_paper(paper, name):
    model = load_model(paper, name)
    with torch.device("meta"):
        if timm_networks.is_timm(model.model_class):
            network = timm_networks.build(model.model_class, {})
            network.set_input_size(img_size=(model.input_size,) * 2)
        else:
            network = network_class(model.model_class)
            network = network(network.config_class(**PUBLISHED_ENCODERS[name]))
        encoder = VisionEncoder(network.eval(), Preprocessing.of(model))
        features = encoder(torch.zeros(1, 256, 256, 3, dtype=torch.uint8))
    assert tuple(features.shape[1:]) == load_model(paper, f"rae-{name}").latent


def test_every_latent_of_the_paper_is_the_one_of_the_authors(paper, golden_folder):
    rows = csv.DictReader((golden_folder.parent / "methods.csv").read_text().splitlines())
    latents = {row["method"]: tuple(map(int, row["latent_chw"].split("x"))) for row in rows}
    runs = {name: load_run(paper, name, "imagenet") for name in paper.methods}
    for name, run in runs.items():
        if run.tokenizer != PIXELS:
            assert load_model(paper, run.tokenizer).latent == latents[name], name


# --------------------------------------------------------------------------- the small stand-ins


def test_the_study_of_every_method_has_those_of_the_paper_in_its_order(paper):
    assert load_study("nano-all").methods == paper.methods
    assert set(paper.methods) <= set(available("methods"))


def test_every_small_latent_becomes_sixteen_tokens_like_its_big_ones_become_256(paper):
    small = load_study("nano")
    for name in available("models"):
        if load_model(paper, name).kind not in ("vae", "rae"):
            continue
        big, little = (load_model(study, name).latent for study in (paper, small))
        patch = {16: 1, 32: 2}[big[1]]
        assert (little[1] // patch) ** 2 == 16, name
