"""A released decoder and its statistics reproduce the authors' images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from golden_files import Golden, every

from nanogen.config import load_model, load_study
from nanogen.config.model_schema import Model
from nanogen.interop import export_rae, import_rae
from nanogen.interop.released_decoder import to_released_decoder
from nanogen.stage1.statistics import Statistics
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.vit_decoder import build

RAES = every("rae_decoder*.npz")
NAMES = every("rae_decoder*_names.json")


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def golden(request) -> Golden:
    found = Golden.read(request.param)
    assert found.meta["patch_size"] * found.meta["latent"][1] == found.meta["resolution"]
    assert found.meta["num_channels"] == 3
    return found


def model_of(meta: dict) -> Model:
    """The paper study's RAE on DINOv2 with the sizes of a golden file."""
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
    options = ("layer_norm_eps", "hidden_act", "qkv_bias")
    changes = {
        "latent": tuple(meta["latent"]),
        "architecture": {
            **{key: meta[f"decoder_{key}"] for key in sizes},
            **{key: meta[key] for key in options},
        },
        "statistics_eps": meta["stats_eps"],
    }
    return load_model(load_study("paper"), "rae-dinov2-b").model_copy(update=changes)


def statistics_of(golden: Golden) -> list[tuple[Path, dict]]:
    """The statistics files that belong to a decoder, with their contents."""
    files = sorted(golden.path.parent.glob("rae_stats*.pt"))
    held = [(path, torch.load(path, weights_only=True)) for path in files]
    return [(path, one) for path, one in held if torch.equal(one["var"], golden.values["var"])]


@pytest.mark.parametrize("golden", RAES, indirect=True)
def test_statistics_are_the_moments_of_the_features(golden):
    found = Statistics()
    found.update(golden.values["features"])
    close(found.mean.float(), golden.values["mean"])
    close(found.variance.float(), golden.values["var"])


@pytest.mark.parametrize("golden", RAES, indirect=True)
def test_latents_become_the_authors_images(golden, tmp_path):
    values, files = golden.values, statistics_of(golden)
    assert files
    for path, held in files:
        model, decoder = model_of(golden.meta), golden.path.with_suffix(".pt")
        import_rae(decoder, path, model, golden.meta["resolution"], tmp_path / path.stem)
        tokenizer = load_tokenizer(tmp_path / path.stem)
        image = "image" if held.get("mean") is not None else "image_without_mean"
        close((tokenizer.decode(values["z"]) + 1) / 2, values[image])


@pytest.mark.parametrize("golden", RAES, indirect=True)
def test_it_comes_out_as_it_went_in(golden, tmp_path):
    decoder = golden.path.with_suffix(".pt")
    for path, held in statistics_of(golden):
        folder = tmp_path / path.stem
        import_rae(decoder, path, model_of(golden.meta), golden.meta["resolution"], folder)
        export_rae(folder, tmp_path / "decoder.pt", tmp_path / "stats.pt")
        original, exported = torch.load(decoder), torch.load(tmp_path / "decoder.pt")
        assert exported.keys() == original.keys()
        assert all(torch.equal(exported[name], value) for name, value in original.items())
        statistics = torch.load(tmp_path / "stats.pt")
        assert torch.equal(statistics["var"], held["var"])
        if held.get("mean") is None:
            assert statistics["mean"] is None
        else:
            assert torch.equal(statistics["mean"], held["mean"])


@pytest.mark.parametrize("path", NAMES)
def test_the_papers_decoders_have_the_released_names_and_shapes(path):
    paper = load_study("paper")
    held = json.loads(path.read_text(encoding="utf-8"))
    options = ("layer_norm_eps", "hidden_act", "qkv_bias")
    for names, known in held["decoders"].items():
        for name in names.split(", "):
            with torch.device("meta"):
                decoder = build(load_model(paper, f"rae-{name}"), 256)
            assert {key: decoder.config[key] for key in options} == {
                key: held["config"][key] for key in options
            }
            released = to_released_decoder(decoder.state_dict())
            assert {key: list(value.shape) for key, value in released.items()} == known["shapes"]
            assert sum(value.numel() for value in released.values()) == known["parameters"]
