"""Real trainings: they learn, stop, continue bit-identically, and refuse what does not fit."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from trainings import ALONE, Stopping, train_in

from nanogen.config import load_study, stages
from nanogen.config.load import trained_run
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.stage2.learner import Learner, update_size, weights_of
from nanogen.training import checkpoint
from nanogen.training.ema import EMA
from nanogen.training.stopping import Interrupted


def run(
    stage: dict, images: Path, folder: Path, every: int = 4, stop_at: int = -1, log_every: int = 2
) -> Path:
    """Train in ``folder`` and return the model's folder."""
    source = Stopping(TrainStage.from_json(stage), None, images, None)
    source.at = stop_at
    return train_in(folder, stage, source, every=every, log_every=log_every)


def curve(model: Path) -> list[dict]:
    """The lines of the training curve, without measured times."""
    lines = [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


@pytest.fixture(scope="module")
def stage(tiny) -> dict:
    return stages.train(tiny(), "jit", "imagenet")


@pytest.fixture(scope="module")
def undisturbed(stage, tiny_images, tmp_path_factory) -> Path:
    return run(stage, tiny_images, tmp_path_factory.mktemp("undisturbed"))


def same(one: Path, two: Path) -> bool:
    weights = [(folder / "model.safetensors").read_bytes() for folder in (one, two)]
    return weights[0] == weights[1] and curve(one) == curve(two)


def test_a_training_leaves_a_whole_model(stage, undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert names == {"config.json", "model.safetensors", "train.jsonl", "stage.json", "nanogen.json"}
    card = read_json(undisturbed / "nanogen.json")
    assert card["hash"] == stage["hash"]
    weights = load_file(undisturbed / "model.safetensors")
    assert card["quality"]["parameters"] == sum(w.numel() for w in weights.values())
    assert read_json(undisturbed / "stage.json") == stage
    lines = curve(undisturbed)
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert set(lines[0]) == {"step", "loss", "grad_norm", "learning_rate", "update"}
    assert all(line["grad_norm"] > 0 for line in lines)
    assert all(0 < line["update"] < 0.1 for line in lines)


def test_the_update_size_is_the_weights_change_over_their_norm():
    model = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.constant_(model.weight, 3.0)  # norm 6
    before = weights_of(model)
    with torch.no_grad():
        model.weight[0, 0] += 0.6
    assert update_size(before, model).item() == pytest.approx(0.1)


def test_the_loss_falls(tiny, tiny_images, tmp_path):
    training = {"steps": 40, "optimizer": {"learning_rate": 4e-3, "decay_start": 40, "decay_end": 40}}
    stage = stages.train(tiny(training=training), "jit", "imagenet")
    losses = [line["loss"] for line in curve(run(stage, tiny_images, tmp_path, every=100))]
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


def test_the_same_run_twice_is_the_same_to_the_bit(stage, undisturbed, tiny_images, tmp_path):
    assert same(run(stage, tiny_images, tmp_path), undisturbed)


@pytest.mark.parametrize("at", [0, 3])
def test_stopped_by_a_signal_and_continued_is_the_same_to_the_bit(
    stage, undisturbed, tiny_images, tmp_path, at
):
    with pytest.raises(Interrupted, match=r"stopped after step .* of 8; the same command continues"):
        run(stage, tiny_images, tmp_path, every=100, stop_at=at)
    assert not (tmp_path / "model").exists()
    (saved,) = checkpoint.found(tmp_path / "state")
    assert 0 < int(saved.stem.removeprefix("step-")) < 8
    assert same(run(stage, tiny_images, tmp_path), undisturbed)


def test_killed_at_once_and_continued_is_the_same_to_the_bit(stage, undisturbed, tiny_images, tmp_path):
    """As after a power cut: the last checkpoint is older than the curve, whose last line is cut."""
    with pytest.raises(Interrupted):
        run(stage, tiny_images, tmp_path, every=2, stop_at=5)
    checkpoint.found(tmp_path / "state")[-1].unlink()
    with open(tmp_path / "state" / "train.jsonl", "a") as file:
        file.write('{"step": 8, "lo')
    assert same(run(stage, tiny_images, tmp_path), undisturbed)


def test_killed_between_two_lines_of_the_curve_it_writes_the_same_lines(stage, tiny_images, tmp_path):
    rhythm = {"every": 3, "log_every": 4}
    whole = run(stage, tiny_images, tmp_path / "whole", **rhythm)
    with pytest.raises(Interrupted, match="stopped after step 4"):
        run(stage, tiny_images, tmp_path / "killed", **rhythm, stop_at=0)
    between, last = checkpoint.found(tmp_path / "killed" / "state")
    assert between.name == "step-000000003.safetensors"
    last.unlink()
    again = run(stage, tiny_images, tmp_path / "killed", **rhythm)
    assert same(again, whole)
    first = json.loads((again / "train.jsonl").read_text().splitlines()[0])
    assert first["images_per_second"] * first["seconds"] == pytest.approx(4 * 16)


def test_meanflow_continues_with_the_kind_of_step_that_is_due(tiny, tiny_images, tmp_path):
    objective = {"kind": "meanflow", "prediction": "v"}
    keys = {"methods": {"jit": {"objective": objective, "sampling": {"guidance_scale": 1.0}}}}
    stage = stages.train(tiny(overrides=keys), "jit", "imagenet")
    whole = run(stage, tiny_images, tmp_path / "whole")
    with pytest.raises(Interrupted):  # before the seventh step, which is the only one of its kind
        run(stage, tiny_images, tmp_path / "stopped", stop_at=3)
    assert same(run(stage, tiny_images, tmp_path / "stopped"), whole)


def test_a_truncated_checkpoint_falls_back_to_the_one_before(
    stage, undisturbed, tiny_images, tmp_path, caplog
):
    with pytest.raises(Interrupted):
        run(stage, tiny_images, tmp_path, every=2, stop_at=5)
    before, newest = checkpoint.found(tmp_path / "state")
    newest.write_bytes(newest.read_bytes()[:-1000])
    with caplog.at_level(logging.INFO, "nanogen"):
        assert same(run(stage, tiny_images, tmp_path), undisturbed)
    step = int(before.stem.removeprefix("step-"))
    assert f"{newest.name} cannot be read" in caplog.text
    assert f"continuing jit on imagenet after step {step}" in caplog.text


def test_only_the_newest_two_checkpoints_are_kept(stage, tiny_images, tmp_path):
    run(stage, tiny_images, tmp_path, every=1)
    names = [path.name for path in checkpoint.found(tmp_path / "state")]
    assert names == ["step-000000007.safetensors", "step-000000008.safetensors"]


def test_a_checkpoint_of_another_configuration_is_refused(stage, tiny, tiny_images, tmp_path):
    run(stage, tiny_images, tmp_path)
    other = stages.train(tiny(training={"steps": 9}), "jit", "imagenet")
    with pytest.raises(UserError, match=f"carries hash {stage['hash']}.*expects {other['hash']}"):
        run(other, tiny_images, tmp_path)


def test_a_second_training_on_the_same_state_is_refused(tmp_path):
    with (
        checkpoint.locked(tmp_path),
        pytest.raises(UserError, match=f"another training .* is writing to {tmp_path}"),
        checkpoint.locked(tmp_path),
    ):
        pass
    with checkpoint.locked(tmp_path):  # released at the end
        assert (tmp_path / "lock").read_text().split()[1] == str(os.getpid())


def test_a_loss_that_is_not_a_number_ends_in_a_sentence(tiny, tiny_images, tmp_path):
    keys = {"learning_rate": 1e30, "warmup_steps": 0}
    stage = stages.train(tiny(training={"optimizer": keys}), "jit", "imagenet")
    with pytest.raises(UserError, match=r"jit on imagenet: the .* is (inf|nan) at step .*learning_rate"):
        run(stage, tiny_images, tmp_path, every=1, log_every=8)
    for path in checkpoint.found(tmp_path / "state"):
        assert all(torch.isfinite(value).all() for value in load_file(path).values()), path.name
    assert not (tmp_path / "model").exists()


def test_clipping_bounds_the_step_and_reports_the_norm_before(tiny, tiny_images, tmp_path):
    """AdamW ignores the gradient's scale, so this checks that the reported norm is the unclipped one."""
    stage = stages.train(tiny(training={"optimizer": {"clip": 1e-3}}), "jit", "imagenet")
    assert all(line["grad_norm"] > 1e-3 for line in curve(run(stage, tiny_images, tmp_path)))


def test_bfloat16_stays_close_to_float32(tiny, undisturbed, tiny_images, tmp_path):
    stage = stages.train(tiny(training={"precision": "bf16"}), "jit", "imagenet")
    losses = [line["loss"] for line in curve(run(stage, tiny_images, tmp_path))]
    expected = [line["loss"] for line in curve(undisturbed)]
    assert losses != expected
    assert losses == pytest.approx(expected, rel=0.02)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float32}


def test_the_average_by_hand():
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        ema = EMA(layer, 0.9)
        layer.weight.fill_(3.0)
    ema.update(1)  # decay min(0.9, 2 / 11)
    value = 2 / 11 * 1 + 9 / 11 * 3
    assert float(ema.state()["weight"]) == pytest.approx(value)
    ema.update(1000)  # decay 0.9
    assert float(ema.state()["weight"]) == pytest.approx(0.9 * value + 0.1 * 3)
    assert math.isclose(float(layer.weight.detach()), 3.0)


def test_an_average_without_warm_up_has_one_decay():
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        ema = EMA(layer, 0.9, warmup=False)
        layer.weight.fill_(3.0)
    ema.update(1)
    assert float(ema.state()["weight"]) == pytest.approx(0.9 * 1 + 0.1 * 3)


def test_a_run_says_how_it_is_averaged_and_what_is_learned(stage):

    authors = {**stage, "training": {**stage["training"], "ema_warmup": False, "frequencies": "trained"}}
    for keys, theirs in ((stage, False), (authors, True)):
        learner = Learner(TrainStage.from_json(keys), ALONE)
        assert learner.ema.warmup is not theirs
        assert learner.model.time.frequencies.requires_grad is theirs
        updated = [p for group in learner.optimizer.param_groups for p in group["params"]]
        assert any(p is learner.model.time.frequencies for p in updated) is theirs


def test_the_paper_trains_as_the_authors_do_and_short_trainings_do_not():
    for study, theirs in (("paper", True), ("nano", False)):
        for task in ("imagenet", "t2i"):
            training = trained_run(load_study(study), "sd-vae-mse", task).training
            assert (training.ema_warmup, training.frequencies == "trained") == (not theirs, theirs)


def test_the_frozen_time_frequencies_stay_as_they_were(stage, undisturbed):
    from nanogen.backbones import build

    initial = build(TrainStage.from_json(stage)).state_dict()
    weights = load_file(undisturbed / "model.safetensors")
    assert torch.equal(weights["time.frequencies"], initial["time.frequencies"])
    assert not torch.equal(weights["encoder_patches.weight"], initial["encoder_patches.weight"])


def test_a_disk_that_is_full_ends_in_a_sentence(stage, tiny_images, small_disk):
    with pytest.raises(UserError, match="the disk is full; free some space and start again"):
        run(stage, tiny_images, small_disk)
    assert not checkpoint.found(small_disk / "state")
