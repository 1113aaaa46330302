"""One command turns released decoders and statistics into tokenizers; mismatched files are refused."""

from __future__ import annotations

import pytest
import torch

from nanogen.cli import main
from nanogen.config import load_model, load_study
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.interop.released_decoder import to_released_decoder
from nanogen.models.encoders import build_encoder, load_encoder, save_encoder
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.vit_decoder import ViTDecoder

SHAPE = (48, 4, 4)  # of the nano study's rae-dinov2-b


def decoder_of(channels: int = SHAPE[0]) -> ViTDecoder:
    architecture = load_model(load_study("nano"), "rae-dinov2-b").architecture
    torch.manual_seed(1)
    return ViTDecoder(latent=(channels, *SHAPE[1:]), resolution=32, **architecture)


@pytest.fixture
def released(tmp_path):
    """A folder with files in the authors' released format."""
    folder = tmp_path / "released"
    folder.mkdir()
    torch.save(to_released_decoder(decoder_of().state_dict()), folder / "decoder.pt")
    torch.save({"mean": torch.randn(SHAPE), "var": torch.rand(SHAPE) + 0.5}, folder / "stats.pt")
    return folder


def command(folder, out, tokenizer="rae-dinov2-b", **files) -> list[str]:
    given = {"decoder": folder / "decoder.pt", "statistics": folder / "stats.pt", **files}
    options = {"study": "nano", "tokenizer": tokenizer, **given, "out": out}
    return ["import-rae", *(part for key, value in options.items() for part in (f"--{key}", str(value)))]


def encoder_of(folder, name="dinov2-b", **architecture):
    """Write the nano study's encoder with random weights, and return its folder."""
    model = load_model(load_study("nano", {"models": {name: {"architecture": architecture}}}), name)
    torch.manual_seed(2)
    folder.mkdir()
    save_encoder(build_encoder(model), model, folder)
    card = label("model", 1, "0" * 16, name=name, model=model.model_dump(mode="json"))
    write_json(folder / "nanogen.json", card)
    return folder


def test_one_command_makes_a_tokenizer_that_decodes(released, tmp_path, capsys):
    assert main(command(released, tmp_path / "rae")) == 0
    said = capsys.readouterr().out
    assert f"models: {{rae-dinov2-b: {{source: path, path: {tmp_path / 'rae'}}}}}" in said
    tokenizer = load_tokenizer(tmp_path / "rae")
    statistics = torch.load(released / "stats.pt", weights_only=True)
    latents = torch.randn(2, *SHAPE)
    features = latents * (statistics["var"] + 1e-5).sqrt() + statistics["mean"]
    with torch.no_grad():
        expected = decoder_of()(features)
    torch.testing.assert_close((tokenizer.decode(latents) + 1) / 2, expected, rtol=1e-5, atol=1e-5)
    card = read_json(tmp_path / "rae" / "nanogen.json")
    assert card["imported"]["decoder"]["file"] == "decoder.pt"
    with pytest.raises(UserError, match=r"holds no encoder.*import it with --encoder"):
        tokenizer.encode(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))


def test_with_its_encoder_it_encodes_too(released, tmp_path):
    encoder = encoder_of(tmp_path / "encoder")
    assert main(command(released, tmp_path / "rae", encoder=encoder)) == 0
    latents = load_tokenizer(tmp_path / "rae").encode(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert latents.shape == (1, *SHAPE)


def test_an_encoder_from_elsewhere_is_used_with_the_studys_keys(released, tmp_path):
    """Such a folder has no card, and says nothing of the images that the encoder expects."""
    encoder = encoder_of(tmp_path / "encoder")
    (encoder / "nanogen.json").unlink()
    assert main(command(released, tmp_path / "rae", encoder=encoder)) == 0
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    tokenizer = load_tokenizer(tmp_path / "rae")
    features = load_encoder(encoder, load_model(load_study("nano"), "dinov2-b"))(images)
    torch.testing.assert_close(tokenizer.encode(images) * tokenizer.std + tokenizer.mean, features)


def test_a_decoder_of_an_impossible_architecture_is_refused(released, tmp_path, capsys):
    study = tmp_path / "odd.yaml"
    study.write_text(
        "extends: nano\nmodels: {rae-dinov2-b: {architecture: {num_attention_heads: three}}}"
    )
    words = command(released, tmp_path / "rae")
    words[words.index("nano")] = str(study)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "config/models/rae-dinov2-b.yaml (architecture): 'num_attention_heads' = 'three'" in said


def test_other_files_make_another_model(released, tmp_path):
    main(command(released, tmp_path / "one"))
    torch.save({"mean": None, "var": torch.ones(SHAPE)}, released / "stats.pt")
    main(command(released, tmp_path / "other"))
    hashes = {read_json(tmp_path / name / "nanogen.json")["hash"] for name in ("one", "other")}
    assert len(hashes) == 2
    assert load_tokenizer(tmp_path / "other").mean.abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_command_exports_what_was_imported(released, tmp_path, dtype):
    for file in ("decoder.pt", "stats.pt"):
        content = torch.load(released / file, weights_only=True)
        torch.save({name: value.to(dtype) for name, value in content.items()}, released / file)
    main(command(released, tmp_path / "rae"))
    files = {"decoder": tmp_path / "d.pt", "statistics": tmp_path / "s.pt"}
    options = [part for key, value in files.items() for part in (f"--{key}", str(value))]
    assert main(["export-rae", "--model", str(tmp_path / "rae"), *options]) == 0
    for written, original in (("d.pt", "decoder.pt"), ("s.pt", "stats.pt")):
        one = torch.load(tmp_path / written, weights_only=True)
        other = torch.load(released / original, weights_only=True)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], value) for name, value in other.items())
        assert {value.dtype for value in one.values()} == {dtype}


def replaced(name: str, content):
    def change(folder, **_):
        (folder / name).write_bytes(content) if isinstance(content, bytes) else torch.save(
            content, folder / name
        )
        return {}

    return change


def cut(folder, **_):
    whole = (folder / "decoder.pt").read_bytes()
    (folder / "decoder.pt").write_bytes(whole[: len(whole) // 2])
    return {}


def in_the_folder_of(encoder: str):
    def change(folder, **_):
        (folder / encoder).mkdir()
        return {"decoder": (folder / "decoder.pt").rename(folder / encoder / "decoder.pt")}

    return change


BAD = {
    "pointer": (replaced("decoder.pt", b"version https://git-lfs.github.com/spec/v1\n"), "LFS pointer"),
    "page": (replaced("stats.pt", b"<!doctype html><title>404</title>"), "is an HTML page"),
    "truncated": (cut, "decoder.pt is truncated"),
    "another width": (
        replaced("decoder.pt", to_released_decoder(decoder_of(64).state_dict())),
        "of another encoder: it takes features of 64 channels, but those of dinov2-b have 48",
    ),
    "another folder": (in_the_folder_of("siglip2-vit-b"), "belongs to the encoder siglip2-b"),
    "a backbone": (replaced("decoder.pt", {"ema": {"s_embedder.proj.bias": torch.ones(2)}}), "missing"),
    "another grid": (
        replaced("stats.pt", {"mean": None, "var": torch.ones(48, 8, 8)}),
        "of features 48x8x8, but rae-dinov2-b has 48x4x4",
    ),
    "no variance": (replaced("stats.pt", {"mean": torch.ones(SHAPE)}), "expected 'var'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_in_a_sentence(released, tmp_path, capsys, case):
    change, sentence = BAD[case]
    files = change(released)
    assert main(command(released, tmp_path / "rae", **files)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_another_encoder_is_refused(released, tmp_path, capsys):
    encoder = encoder_of(tmp_path / "encoder", "dinov3-b")
    assert main(command(released, tmp_path / "rae", encoder=encoder)) == 2
    assert "contains the encoder dinov3-b, but rae-dinov2-b is" in capsys.readouterr().err
    assert not (tmp_path / "rae").exists()


def test_an_encoder_of_another_width_is_refused(released, tmp_path, capsys):
    encoder = encoder_of(tmp_path / "encoder", hidden_size=64)
    assert main(command(released, tmp_path / "rae", encoder=encoder)) == 2
    assert "its features are 64x4x4, not 48x4x4" in capsys.readouterr().err
    assert not (tmp_path / "rae").exists()


def test_a_tokenizer_of_another_kind_is_refused(released, tmp_path, capsys):
    assert main(command(released, tmp_path / "rae", tokenizer="sd-vae-mse")) == 2
    assert "is of kind vae; import-rae makes an RAE" in capsys.readouterr().err
