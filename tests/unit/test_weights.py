"""Files that are not weights: every network reports what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3Model

from nanogen.backbones import build, load, save
from nanogen.backbones.saving import load_weights as load_backbone
from nanogen.config import load_study, stages
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import atomic_folder, atomic_path, write_json
from nanogen.interop.checkpoint import export_checkpoint
from nanogen.interop.released import load_released
from nanogen.interop.weights import read_weights
from nanogen.models.loading import load_network
from nanogen.models.network_files import load_weights, read_pickled_state, save_network
from nanogen.models.perceptual import _vgg
from nanogen.stage2.snapshots import read as read_kept
from nanogen.tokenizers.vit_decoder import ViTDecoder
from nanogen.weights import save_labelled

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"0" + b"\nsize 9\n"
PAGE = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
ANNEX = b"../../.git/annex/objects/xx/yy/SHA256E-s9--00.safetensors\n"
WRONG = {
    "pointer": (POINTER, "a Git LFS pointer, not the weights"),
    "annex": (ANNEX, "a pointer of git-annex"),
    "page": (PAGE, "an HTML page, not weights"),
    "empty": (b"", "empty; fetch it again"),
    "cut": (None, r"has \d+ of \d+ bytes|it is cut"),
    "begun": (b"\x10\x27\0\0\0\0\0\0{", "it is cut or not a safetensors file"),
    "header": (b"\x02\0\0\0\0\0\0\0[]", "its header cannot be read"),
}


def text_encoder(folder: Path):
    small = {"vocab_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    Qwen3Model(Qwen3Config(**small, **heads)).save_pretrained(folder)
    return lambda: load_network(folder, "Qwen3Model")


def network(folder: Path):
    save_network(torch.nn.Linear(3, 3), {}, folder)
    return lambda: load_weights(torch.nn.Linear(3, 3), folder)


def backbone(folder: Path):
    save_network(torch.nn.Linear(3, 3), {}, folder)
    return lambda: load_backbone(torch.nn.Linear(3, 3), folder / "model.safetensors")


def decoder(folder: Path):
    keys = {"latent": (4, 2, 2), "width": 8, "depth": 1, "heads": 2, "mlp": 8, "patch": 2}
    write_json(folder / "config.json", keys)
    save_file({"a": torch.zeros(9)}, folder / "model.safetensors")
    return lambda: ViTDecoder.from_pretrained(folder)


def perceptual(folder: Path):
    save_file({"features.28.bias": torch.zeros(9)}, folder / "model.safetensors")
    return lambda: _vgg(folder / "model.safetensors")


def kept(folder: Path):
    save_file({"1/a": torch.zeros(9)}, folder / "model.safetensors")
    return lambda: read_kept(folder / "model.safetensors", 1, "0" * 16)


def released(folder: Path):
    save_file({"a": torch.zeros(9)}, folder / "model.safetensors")
    return lambda: read_weights(folder / "model.safetensors", "ema")


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "network", [text_encoder, network, backbone, decoder, perceptual, kept, released]
)
def test_what_is_no_weights_is_named(tmp_path: Path, network, wrong: str):
    read, path = network(tmp_path), tmp_path / "model.safetensors"
    content, says = WRONG[wrong]
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(UserError, match=rf"model\.safetensors.*({says})"):
        read()


@pytest.mark.parametrize("wrong", ["pointer", "page", "empty"])
def test_what_is_no_checkpoint_of_torch_is_named(tmp_path: Path, wrong: str):
    content, says = WRONG[wrong]
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    for read in (lambda: read_weights(path, "ema"), lambda: read_pickled_state(path)):
        with pytest.raises(UserError, match=rf"model\.pt is .*{says}"):
            read()
    torch.save({"a": torch.zeros(99)}, path)
    path.write_bytes(path.read_bytes()[:200])
    for read in (lambda: read_weights(path, "ema"), lambda: read_pickled_state(path)):
        with pytest.raises(UserError, match=r"model\.pt"):
            read()


def test_weights_that_one_may_not_read_are_not_called_missing(tmp_path: Path, as_nobody):
    read = network(tmp_path)
    (tmp_path / "model.safetensors").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    with as_nobody(), pytest.raises(UserError, match=r"cannot read .*: no permission"):
        read()


def test_files_have_the_rights_that_the_umask_asks_for(tmp_path: Path):
    with atomic_folder(tmp_path / "m") as folder:
        save_file({"a": torch.zeros(9)}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
    with atomic_path(tmp_path / "one.safetensors") as path:
        save_file({"a": torch.zeros(9)}, path)
    (tmp_path / "usual").write_text("")
    found = [tmp_path / "m/model.safetensors", tmp_path / "m/config.json", tmp_path / "one.safetensors"]
    assert {path.stat().st_mode for path in found} == {(tmp_path / "usual").stat().st_mode}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_what_wrappers_put_before_names_is_no_part_of_them(tiny, tmp_path: Path, prefix: str):
    stage = TrainStage.from_json(stages.train(tiny(), "jit", "imagenet"))
    model = build(stage)
    save(tmp_path, model, model.state_dict())
    export_checkpoint(tmp_path, tmp_path / "j.pt")
    whole = torch.load(tmp_path / "j.pt", weights_only=True)
    named = {key: {prefix + n: value for n, value in of.items()} for key, of in whole.items()}
    torch.save(named, tmp_path / "d.pt")
    found = load_released(build(stage), read_weights(tmp_path / "d.pt", "ema"), "d.pt")
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in load(tmp_path).state_dict().items()
    }


def test_studies_without_weights_say_so(tmp_path: Path):
    write_json(tmp_path / "config.json", {})
    with pytest.raises(UserError, match="there is no"):
        load_network(tmp_path, "Qwen3Model")
    assert load_study("nano")


def test_the_same_tensors_and_header_are_the_same_bytes(tmp_path: Path):
    header = {"format": "nanogen.kept", "format_version": 1, "hash": "abc", "of": 'a "ü"'}
    for name in "abcdefgh":
        save_labelled({"x": torch.arange(6).view(2, 3).t(), "é": torch.ones(1)}, tmp_path / name, header)
    assert len({(tmp_path / name).read_bytes() for name in "abcdefgh"}) == 1
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {key: str(value) for key, value in header.items()}
        assert torch.equal(file.get_tensor("x"), torch.arange(6).view(2, 3).t())
        assert torch.equal(file.get_tensor("é"), torch.ones(1))
