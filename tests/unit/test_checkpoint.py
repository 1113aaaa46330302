"""Released checkpoints become model folders and are exported again, with every weight accounted for."""

from __future__ import annotations

import argparse
import logging
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanogen.backbones import build, load
from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.stages.base import completed_stage
from nanogen.config.train_stage import TrainStage
from nanogen.config.trained import read
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.interop.checkpoint import export_checkpoint, import_checkpoint
from nanogen.interop.released import state_to_release, to_released
from nanogen.interop.rotary import tables
from nanogen.interop.weights import read_weights


@pytest.fixture(scope="module")
def stage(tiny) -> dict:
    return stages.train(tiny(), "sd-vae-mse", "imagenet")


@pytest.fixture
def released(stage, tmp_path):
    """A checkpoint of two random networks: its path, and our state dictionaries of model and average."""
    model = build(TrainStage.from_json(stage))
    average = {k: torch.randn_like(v) for k, v in model.state_dict().items()}
    path = tmp_path / "released.pt"
    content = {
        "model": state_to_release(model),
        "ema": {**to_released(average, model), **tables(model)},
        "step": 100_080,
    }
    torch.save(content, path)
    return path, model.state_dict(), average


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_the_average_is_imported_unless_the_trained_weights_are_asked_for(stage, released, tmp_path):
    path, trained, average = released
    parameters = import_checkpoint(path, "ema", TrainStage.from_json(stage), tmp_path / "average")
    import_checkpoint(path, "model", TrainStage.from_json(stage), tmp_path / "trained")
    assert same(load(tmp_path / "average").state_dict(), average)
    assert same(load(tmp_path / "trained").state_dict(), trained)
    assert read(tmp_path / "average") == completed_stage(stage)
    card = read_json(tmp_path / "average" / "nanogen.json")
    assert card["hash"] == stage["hash"]
    assert card["quality"]["parameters"] == parameters == sum(v.numel() for v in average.values())
    assert card["imported"] == {"file": "released.pt", "weights": "ema"}


def test_a_model_goes_through_the_released_format_unchanged(stage, released, tmp_path):
    path, _, average = released
    import_checkpoint(path, "ema", TrainStage.from_json(stage), tmp_path / "model")
    export_checkpoint(tmp_path / "model", tmp_path / "exported.pt")
    import_checkpoint(tmp_path / "exported.pt", "ema", TrainStage.from_json(stage), tmp_path / "again")
    assert same(load(tmp_path / "again").state_dict(), average)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_come_out_as_they_went_in(stage, released, tmp_path, dtype):
    path, *_ = released
    half = {name: value.to(dtype) for name, value in torch.load(path, weights_only=True)["ema"].items()}
    half["final_layer.linear.bias"] = half["final_layer.linear.bias"].float()  # of another type
    torch.save({"ema": half}, path)
    import_checkpoint(path, "ema", TrainStage.from_json(stage), tmp_path / "model")
    assert {value.dtype for value in load(tmp_path / "model").state_dict().values()} == {torch.float32}
    export_checkpoint(tmp_path / "model", tmp_path / "exported.pt")
    exported = torch.load(tmp_path / "exported.pt", weights_only=True)["ema"]
    assert same(exported, half)
    assert all(exported[name].dtype == value.dtype for name, value in half.items())


def test_released_names_and_shapes_are_the_authors(stage, released):
    weights = torch.load(released[0], weights_only=True)["ema"]
    assert weights["s_embedder.proj.weight"].shape == (32, 4, 2, 2)
    assert weights["blocks.0.attn.q.weight"].shape == (32, 32)
    assert weights["blocks.2.adaln_modulation.1.weight"].shape == (192, 32)  # the decoder's first block
    assert weights["final_layer.linear.bias"].shape == (16,)


def test_a_file_of_one_set_of_weights_needs_no_key(stage, released, tmp_path):
    path, _, average = released
    weights = read_weights(path, "ema")
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "flat.safetensors")
    import_checkpoint(
        tmp_path / "flat.safetensors", "ema", TrainStage.from_json(stage), tmp_path / "model"
    )
    assert same(load(tmp_path / "model").state_dict(), average)
    assert load_file(tmp_path / "model" / "model.safetensors").keys() == average.keys()


class Payload:
    """An object whose unpickling runs code."""

    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model": {"a": torch.zeros(2)}}, "holds no 'ema', only model; set --weights"),
        ({"ema": {"a": torch.zeros(2)}}, "1 unexpected: a$"),
        ({"ema": {}, "args": argparse.Namespace(lr=1)}, "without executing code"),
        ({"ema": Payload()}, "without executing code"),
        ([1, 2], "holds a list"),
        ({"ema": {"a": 1}}, "contains no weights"),
    ],
)
def test_what_is_no_checkpoint_is_refused(stage, tmp_path, capsys, content, sentence):
    path = tmp_path / "file.pt"
    torch.save(content, path)
    with pytest.raises(UserError, match=sentence):
        import_checkpoint(path, "ema", TrainStage.from_json(stage), tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert "executed" not in capsys.readouterr().out


def test_damaged_and_missing_files_are_explained(stage, released, tmp_path):
    path, *_ = released
    cut = tmp_path / "cut.pt"
    cut.write_bytes(path.read_bytes()[:5000])
    for file, sentence in (
        (cut, "is truncated; fetch it again"),
        (tmp_path / "absent.pt", "does not exist"),
    ):
        with pytest.raises(UserError, match=sentence):
            import_checkpoint(file, "ema", TrainStage.from_json(stage), tmp_path / "model")


def test_prefixes_of_wrappers_are_removed_with_a_note(stage, released, tmp_path, caplog):
    path, _, average = released
    wrapped = {}
    for name, value in read_weights(path, "ema").items():
        part, _, rest = name.partition(".norm1")
        compiled = f"{part}._orig_mod.norm1{rest}" if rest else name
        wrapped[f"module.{compiled}"] = value
    torch.save({"ema": wrapped}, tmp_path / "wrapped.pt")
    with caplog.at_level(logging.INFO):
        import_checkpoint(
            tmp_path / "wrapped.pt", "ema", TrainStage.from_json(stage), tmp_path / "model"
        )
    assert f"removed from {len(wrapped)} names" in caplog.text
    assert same(load(tmp_path / "model").state_dict(), average)


def test_rotary_tables_of_another_grid_are_refused(stage, released, tmp_path):
    weights = read_weights(released[0], "ema")
    turned = {**weights, "dec_rope.freqs_cos": weights["dec_rope.freqs_sin"]}
    larger = {**weights, "enc_rope.freqs_sin": torch.zeros(100, 8)}
    for number, changed in enumerate((turned, larger)):
        torch.save({"ema": changed}, tmp_path / "other.pt")
        with pytest.raises(UserError, match=r"rotary table .*_rope.* is not that of 4x4 patches"):
            import_checkpoint(
                tmp_path / "other.pt", "ema", TrainStage.from_json(stage), tmp_path / f"{number}"
            )
        assert not (tmp_path / f"{number}").exists()


def test_rotary_tables_that_were_rounded_otherwise_come_out_as_they_went_in(stage, released, tmp_path):
    weights = read_weights(released[0], "ema")
    name = "enc_rope.freqs_cos"
    weights[name] = torch.nextafter(weights[name], torch.tensor(2.0))
    torch.save({"ema": weights}, tmp_path / "rounded.pt")
    import_checkpoint(tmp_path / "rounded.pt", "ema", TrainStage.from_json(stage), tmp_path / "model")
    export_checkpoint(tmp_path / "model", tmp_path / "exported.pt")
    assert same(torch.load(tmp_path / "exported.pt", weights_only=True)["ema"], weights)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (POINTER, "is a Git LFS pointer, not the weights"),
        (PAGE, "is an HTML page, not weights"),
        (b"PK\x03\x04 and no end", "is truncated; fetch it again|is damaged"),
        (b"", "is damaged or not a checkpoint"),
    ],
)
def test_what_arrives_in_place_of_weights_is_told_apart(tmp_path, capsys, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    command = ["import", "--checkpoint", f"{tmp_path / name}", "--study", "nano", "--method", "jit"]
    assert main([*command, "--task", "imagenet", "--out", f"{tmp_path}/model"]) == 2
    said = capsys.readouterr().err
    assert re.search(sentence, said)
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_checkpoint_of_another_task_is_refused_with_the_names(tiny, released, tmp_path):
    stage = stages.train(tiny(), "sd-vae-mse", "t2i")
    with pytest.raises(UserError, match=r"missing: .*ctx_embedder.norm.weight.*unexpected: .*learnable"):
        import_checkpoint(released[0], "ema", TrainStage.from_json(stage), tmp_path / "model")


def test_the_commands_import_and_export(tmp_path, capsys):
    stage = stages.train(load_study("nano"), "jit", "imagenet")
    model = build(TrainStage.from_json(stage))
    torch.save({"ema": to_released(model.state_dict(), model)}, tmp_path / "released.pt")
    command = ["import", "--checkpoint", f"{tmp_path}/released.pt", "--study", "nano"]
    options = ["--method", "jit", "--task", "imagenet", "--out", f"{tmp_path}/model"]
    assert main([*command, *options]) == 0
    assert "trained: {imagenet: {jit:" in capsys.readouterr().out
    assert main(["export", "--model", f"{tmp_path}/model", "--output", f"{tmp_path}/back.pt"]) == 0
    back = torch.load(tmp_path / "back.pt", weights_only=True)["ema"]
    assert same(back, state_to_release(model))


# ------------------------------------------------------------------------- in a study


def given(tiny, folder, method="sd-vae-mse", **changes):
    return tiny(trained={"imagenet": {method: str(folder)}}, **changes)


def test_a_study_samples_from_an_imported_model(tiny, stage, released, tmp_path):
    import_checkpoint(released[0], "ema", TrainStage.from_json(stage), tmp_path / "model")
    study = given(tiny, tmp_path / "model")
    sample = stages.sample(study, "sd-vae-mse", "imagenet", "cfg")
    assert sample["expects"]["model"] == stage["hash"]
    # A longer training in the study does not make it another model.
    longer = given(tiny, tmp_path / "model", training={"steps": 9})
    assert stages.sample(longer, "sd-vae-mse", "imagenet", "cfg")["hash"] == sample["hash"]


@pytest.mark.parametrize(
    ("method", "changes", "sentence"),
    [
        ("sd-vae-mse", {"objective": {"prediction": "x"}}, "objective.prediction 'v'.*asks for 'x'"),
        ("jit", {}, "has latent"),
        ("sd-vae-mse", {"backbone": {"encoder_depth": 3}}, "has backbone"),
        ("sd-vae-mse", {"models": {"sd-vae-mse": {"scaling": [2.0, 0.0]}}}, "model.scaling None.* asks"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    tiny, stage, released, tmp_path, method, changes, sentence
):
    import_checkpoint(released[0], "ema", TrainStage.from_json(stage), tmp_path / "model")
    with pytest.raises(UserError, match=sentence):
        stages.sample(given(tiny, tmp_path / "model", method, **changes), method, "imagenet", "cfg")


@pytest.mark.slow
def test_a_model_of_the_papers_size_goes_through_the_released_format(tmp_path):
    stage = stages.train(load_study("paper"), "sd-vae-mse", "imagenet")
    model = build(TrainStage.from_json(stage))
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == 611_304_996
    released = {k: v.bfloat16() for k, v in to_released(model.state_dict(), model).items()}
    torch.save({"ema": released}, tmp_path / "released.pt")
    del model
    assert (
        import_checkpoint(
            tmp_path / "released.pt", "ema", TrainStage.from_json(stage), tmp_path / "model"
        )
        == parameters
    )
    loaded = load(tmp_path / "model")
    back = to_released(loaded.state_dict(), loaded)
    assert same({k: v.bfloat16() for k, v in back.items()}, released)
