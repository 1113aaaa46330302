"""Every encoder of config/encoders.yaml encodes as published, tested on tiny networks of its class."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config import encoder_registry, load_model, load_study, plan, stages
from nanogen.config.model_schema import Model, MultiLayer
from nanogen.config.used_networks import models_of
from nanogen.docs import encoders
from nanogen.errors import UserError
from nanogen.models import timm_networks
from nanogen.models.encoders import VisionEncoder, build_encoder, load_encoder, save_encoder
from nanogen.models.loading import network_class, save_network
from nanogen.models.vision_features import load_vision

WIDTH, DEPTH = 32, 4
ENTRIES = encoder_registry.encoders()
MULTI = [f"{name}-multi" for name, each in ENTRIES.items() if each.multilayer]

FAMILIES = list({each.title: name for name, each in ENTRIES.items()}.values())  # the last size of each


@cache
def paper():
    return load_study("paper")


@cache
def nano():
    return load_study("nano")


def published(name: str, folder: Path) -> Model:
    """Write a tiny network of the class that ``name`` is published in, and return its configuration."""
    entry = ENTRIES[name.removesuffix("-multi")]
    model = load_model(paper(), name)
    torch.manual_seed(0)
    if timm_networks.is_timm(entry.model_class):
        arguments = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2, "num_classes": 0}
        if "vit_pe_" in entry.model_class:
            arguments |= {"attn_pool_num_heads": 1}
        network = timm_networks.build(entry.model_class, arguments)
        random_positions(network.pos_embed)
        random_norms(network)
        folder.mkdir()
        timm_networks.save(network, arguments, folder)
    else:
        cls = network_class(entry.model_class)
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": 2}
        sizes |= {"intermediate_size": 64, "patch_size": entry.patch, "image_size": entry.trained or 224}
        keys = cls.config_class().to_dict()
        sizes |= {"num_register_tokens": 4} if "num_register_tokens" in keys else {}
        sizes |= {"vision_use_head": False} if "Siglip" in entry.model_class else {}
        network = cls(cls.config_class(**sizes))
        for parameter in network.parameters():
            if parameter.dim() > 2:
                random_positions(parameter)
        random_norms(network)
        save_network(network, folder)
    layers = model.multilayer and model.multilayer.model_copy(update={"blocks": [1, 2, 3, 4]})
    return model.model_copy(update={"multilayer": layers})


def random_positions(parameter: Tensor) -> None:
    nn.init.normal_(parameter, std=0.5)


def random_norms(network: nn.Module) -> None:
    """Set random scales and shifts, whose application changes the output visibly."""
    for module in network.modules():
        if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.5)


def images() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (1, 256, 256, 3), generator=generator, dtype=torch.uint8)


def patch_tokens(z: Tensor) -> Tensor:
    return z.flatten(2).transpose(1, 2)


def is_normalised(tokens: Tensor) -> bool:
    mean, std = tokens.mean(-1), tokens.std(-1, unbiased=False)
    return bool(mean.abs().max() < 1e-4 and (std - 1).abs().max() < 1e-2)


def blocks_of(encoder: VisionEncoder) -> nn.ModuleList | nn.Sequential:
    found = (m for m in encoder.network.modules() if isinstance(m, nn.ModuleList | nn.Sequential))
    return next(m for m in found if len(m) == DEPTH)


@pytest.mark.parametrize("name", ENTRIES)
def test_its_features_with_what_is_left_of_the_last_norm(name, tmp_path):
    entry, model = ENTRIES[name], published(name, tmp_path / "encoder")
    encoder = load_encoder(tmp_path / "encoder", model).eval()
    side = 8 if entry.patch == 32 else 16
    z = encoder(images())
    assert z.shape == (1, WIDTH, side, side)
    assert load_model(paper(), f"rae-{name}").latent == (entry.width, side, side)
    tokens = patch_tokens(z)
    assert is_normalised(tokens) == (entry.last_norm == "plain")
    norm = getattr(encoder.parts.owner, encoder.parts.norm)
    if entry.last_norm == "learned":
        assert is_normalised((tokens - norm.bias) / norm.weight)
    if entry.last_norm == "none":
        assert isinstance(norm, nn.Identity)
        pixels = encoder.preprocessing(images())
        torch.testing.assert_close(tokens, encoder.parts.layers(pixels, [DEPTH])[0])


@pytest.mark.parametrize("name", MULTI)
def test_features_of_several_blocks_are_the_mean_of_their_normed_tokens(name, tmp_path):
    model = published(name, tmp_path / "encoder")
    encoder = load_encoder(tmp_path / "encoder", model).eval()
    seen: list[Tensor] = []
    for block in blocks_of(encoder):
        block.register_forward_hook(
            lambda *call: seen.append(call[2][0] if isinstance(call[2], tuple) else call[2])
        )
    z = patch_tokens(encoder(images()))
    norm = getattr(encoder.parts.owner, encoder.parts.norm)
    layers = [norm(tokens)[:, encoder.prefix :] for tokens in seen[:DEPTH]]
    expected = torch.stack(layers).mean(0)
    if model.multilayer.summary:
        expected = expected + layers[-1].mean(1, keepdim=True)
    torch.testing.assert_close(z, expected, rtol=1e-5, atol=1e-5)
    published_blocks = load_model(paper(), name).multilayer.blocks
    assert len(published_blocks) == 4
    assert published_blocks[-1] == ENTRIES[name.removesuffix("-multi")].depth


@pytest.mark.parametrize("name", FAMILIES)
def test_the_small_stand_in_of_scale_nano(name, tmp_path):
    model, rae = load_model(nano(), name), load_model(nano(), f"rae-{name}")
    folder = tmp_path / "encoder"
    folder.mkdir()
    save_encoder(build_encoder(model), model, folder)
    z = load_encoder(folder, model)(images()[:, :32, :32])
    assert z.shape == (1, *rae.latent)
    assert rae.latent[0] == model.width
    assert model.training is not None
    assert rae.encoder == name


@pytest.mark.parametrize(
    ("name", "mode"), [("mae-b", "bicubic"), ("pe-t", "bilinear"), ("pe-g", "bilinear")]
)
def test_a_table_of_positions_on_another_grid(name, mode, tmp_path):
    model = published(name, tmp_path / "encoder")
    network = load_encoder(tmp_path / "encoder", model).network
    stored = timm_networks.load(tmp_path / "encoder", model.model_class, ENTRIES[name].trained).pos_embed
    prefix = stored.shape[1] - (ENTRIES[name].trained // ENTRIES[name].patch) ** 2
    side = round((stored.shape[1] - prefix) ** 0.5)
    cells = stored[:, prefix:].transpose(1, 2).unflatten(2, (side, side))
    expected = F.interpolate(cells, (16, 16), mode=mode).flatten(2).transpose(1, 2)
    torch.testing.assert_close(network.pos_embed[:, prefix:], expected)


def test_dinov2_without_registers_resamples_its_positions_with_antialiasing(tmp_path):
    model = published("dinov2-noreg-s", tmp_path / "encoder")
    network = load_encoder(tmp_path / "encoder", model).network
    stored = timm_networks.load(tmp_path / "encoder", model.model_class, 518).pos_embed
    cells = stored[:, 1:].transpose(1, 2).unflatten(2, (37, 37))
    expected = F.interpolate(cells, (16, 16), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    torch.testing.assert_close(network.pos_embed[:, 1:], expected)


@pytest.mark.parametrize(
    "name", [name for name in ENTRIES if name in encoder_registry.available("models")]
)
def test_a_file_of_the_same_name_says_the_same(name):
    file, entry = load_model(paper(), name), ENTRIES[name]
    assert (file.model_class, file.hub.repo) == (entry.model_class, entry.repo)
    assert (file.hub.size_mb, file.hub.gated) == (entry.size_mb, entry.gated)
    assert (file.image_mean, file.image_std) == (entry.image_mean, entry.image_std)
    assert (file.input_size, file.interpolation) == (entry.input_size, entry.interpolation)


def test_a_name_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'rae-dinov2-l'"):
        load_model(paper(), "rae-dinov2-xl")
    with pytest.raises(UserError, match="did you mean 'webssl-300m'"):
        load_model(paper(), "webssl-300")


def test_more_blocks_than_there_are_are_refused(tmp_path):
    model = published("dinov2-s", tmp_path / "encoder")
    model = model.model_copy(update={"multilayer": MultiLayer(blocks=[2, 9])})
    with pytest.raises(UserError, match="the encoder has 4 blocks"):
        load_encoder(tmp_path / "encoder", model)


def test_targets_of_the_last_block_alone(tmp_path):
    model = published("dinov2-s-multi", tmp_path / "encoder")
    with pytest.raises(UserError, match="without multilayer"):
        load_vision(tmp_path / "encoder", model)


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("dinov3-l-multi", "facebook/dinov3-vitl16-pretrain-lvd1689m"),
        ("webssl-300m", "facebook/webssl-dino300m-full2b-224"),
    ],
)
def test_a_method_names_one_by_its_tokenizer(name, repo):
    named = {"dinov2-b": {"tokenizer": f"rae-{name}"}}
    study = load_study("paper", {"methods": ["dinov2-b"], "overrides": {"methods": named}})
    assert stages.train(study, "dinov2-b", "t2i")["latent"] == [1024, 16, 16]
    assert {name, f"rae-{name}"} <= set(models_of(study))
    fetched = next(item for item in plan.downloads(study) if item.repository == repo)
    assert fetched.licence == ENTRIES[name.removesuffix("-multi")].licence


def test_the_page_lists_every_name():
    page = encoders.page()
    assert all(f"`{name}`" in page and each.repo in page for name, each in ENTRIES.items())
