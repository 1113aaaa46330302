"""Trainings initialised from another model: what they load, what they refuse, and that it helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_data_folder import picture
from test_online import write_text
from test_training import curve, run
from trainings import ALONE, train_in

from nanogen.backbones import build
from nanogen.config import stages
from nanogen.config.train_stage import TrainStage
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.interop.checkpoint import import_checkpoint
from nanogen.interop.released import to_released
from nanogen.stage2.dataset import TrainingData
from nanogen.stage2.learner import Learner
from nanogen.training.checkpoint import below

RECIPE = {"steps": 40, "optimizer": {"learning_rate": 4e-3, "decay_start": 40, "decay_end": 40}}


@pytest.fixture(scope="module")
def source(tiny, tiny_images, tmp_path_factory) -> Path:
    """The folder of a trained model that kept its training state."""
    stage = TrainStage.from_json(stages.train(tiny(training=RECIPE), "jit", "imagenet"))
    place = tmp_path_factory.mktemp("source")
    data = TrainingData(stage, None, tiny_images, None)
    return train_in(place, stage.content, data, every=100, keep_state=True)


def started(tiny, source: Path, method: str = "jit", keys: dict | None = None, **taken: str) -> dict:
    """The ``train`` stage of a run initialised from ``source``."""
    start = {"initialise_from": {"model": str(source), **taken}}
    study = tiny(**{**(keys or {}), "overrides": {"methods": {method: {"training": start}}}})
    return stages.train(study, method, "imagenet")


def restored(stage: dict, source: Path, folder: Path) -> Learner:
    learner = Learner(TrainStage.from_json(stage), ALONE)
    assert learner.restore(folder, source) == 0
    return learner


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("optimizer", ["fresh", "saved"])
@pytest.mark.parametrize("weights", ["average", "trained"])
def test_it_begins_with_what_is_asked_for(tiny, source, tmp_path, weights, optimizer):
    stage = started(tiny, source, weights=weights, optimizer=optimizer)
    learner = restored(stage, source, tmp_path)
    average, state = load_file(source / "model.safetensors"), load_file(source / "state.safetensors")
    held = learner.state()
    assert not same(average, below("model", state))
    assert same(below("model", held), {"average": average, "trained": below("model", state)}[weights])
    assert same(below("ema", held), average)
    moments = {"fresh": {}, "saved": below("optimizer", state)}[optimizer]
    assert same(below("optimizer", held), moments)


def test_it_goes_on_from_where_the_other_came_to(tiny, tiny_images, source, tmp_path):
    stage = started(tiny, source)
    data = TrainingData(TrainStage.from_json(stage), None, tiny_images, None)
    train_in(tmp_path, stage, data, initial=source)
    drawn = run(stages.train(tiny(), "jit", "imagenet"), tiny_images, tmp_path / "drawn")
    assert curve(tmp_path / "model")[0]["loss"] < 0.5 * curve(drawn)[0]["loss"]


def test_the_hash_is_of_the_source_and_of_what_is_taken(tiny, source, tmp_path):
    drawn, stage = stages.train(tiny(), "jit", "imagenet"), started(tiny, source)
    card = read_json(source / "nanogen.json")
    assert stage["expects"]["initial"] == card["hash"]
    assert "initial" not in drawn
    moved = tmp_path / "moved"
    moved.symlink_to(source)
    assert started(tiny, moved)["hash"] == stage["hash"]
    others = [started(tiny, source, weights="trained"), started(tiny, source, optimizer="saved")]
    assert len({drawn["hash"], stage["hash"], *(other["hash"] for other in others)}) == 4
    kept = stages.train(tiny(training={"keep_state": True}), "jit", "imagenet")
    assert kept["hash"] == drawn["hash"]


def test_an_imported_model_is_told_by_its_file(tiny, tmp_path):
    plain, hashes = TrainStage.from_json(stages.train(tiny(), "sd-vae-mse", "imagenet")), set()
    model = build(plain)
    sets = {name: to_released(model.state_dict(), model) for name in ("ema", "model")}
    torch.save(sets, tmp_path / "released.pt")
    for which in sets:
        import_checkpoint(tmp_path / "released.pt", which, plain, tmp_path / which)
        stage = started(tiny, tmp_path / which, "sd-vae-mse")
        weights = restored(stage, tmp_path / which, tmp_path / "none").state()
        assert same(below("model", weights), load_file(tmp_path / which / "model.safetensors"))
        hashes.add(stage["hash"])
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("method", "keys", "taken", "sentence"),
    [
        ("jit", {"backbone": {"encoder_depth": 3}}, {}, "has backbone .*'encoder_depth': 2.*asks for"),
        ("sd-vae-mse", {}, {}, r"has latent \[3, 32, 32\], but sd-vae-mse on imagenet asks for"),
        (
            "jit",
            {"training": {"optimizer": {"kind": "muon"}}},
            {"optimizer": "saved"},
            "has training.optimizer.kind 'adamw'.*asks for 'muon'",
        ),
    ],
)
def test_another_network_is_refused(tiny, source, method, keys, taken, sentence):
    with pytest.raises(UserError, match=f"training.initialise_from: .*{sentence}"):
        started(tiny, source, method, keys, **taken)


def test_a_source_that_kept_no_state_or_is_none_is_refused(tiny, tiny_images, source, tmp_path):
    bare = run(stages.train(tiny(), "jit", "imagenet"), tiny_images, tmp_path)
    with pytest.raises(
        UserError, match=r"only its average.*training.keep_state: true.*delete .*nanogen.json"
    ):
        started(tiny, bare, weights="trained")
    with pytest.raises(UserError, match="is not the folder of a trained model"):
        started(tiny, tmp_path / "nothing")
    expecting = started(tiny, source)
    with pytest.raises(UserError, match="give --initial DIR"):
        Learner(TrainStage.from_json(expecting), ALONE).restore(tmp_path / "none")
    with pytest.raises(UserError, match=f"carries hash .* expects {source_hash(source)}"):
        Learner(TrainStage.from_json(expecting), ALONE).restore(tmp_path / "none", bare)


def source_hash(source: Path) -> str:
    return read_json(source / "nanogen.json")["hash"]


# -------------------------------------------------------------- a folder of captioned images


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "curated"
    for number in range(40):
        path = picture(root / f"set{number % 2}" / f"{number:02}.png", (6 * number, 0, 0), (40, 36))
        path.with_suffix(".txt").write_text(f"picture {number}\n")
    path.with_suffix(".json").write_text('{"short": "the last", "dense": "the last of all"}')
    return root


def captioned(tiny, root: Path, source: Path | None = None, **data: str):
    keys = {"data": {"source": "captioned", "root": str(root), **data}}
    if source:
        keys["training"] = {"steps": 8, "initialise_from": {"model": str(source)}}
    return tiny(overrides={"tasks": {"t2i": keys}})


def test_pictures_with_captions_beside_them_are_a_data_set(tiny, folder, tmp_path):
    sets = {}
    for split in ("train", "val"):
        write_images(stages.data(captioned(tiny, folder), "t2i", split), tmp_path / f"{split}.h5")
        sets[split] = ImageFile(tmp_path / f"{split}.h5")
    counts = [len(sets[split].captions("short")) for split in ("train", "val")]
    assert counts == [38, 2]
    assert list(sets["val"].captions("short")) == ["picture 38", "the last"]
    assert list(sets["val"].captions("dense"))[1] == "the last of all"
    assert "picture 0" in list(sets["train"].captions("short"))


def test_a_picture_without_a_caption_is_named(tiny, folder, tmp_path):
    (folder / "set0/00.txt").unlink()
    with pytest.raises(
        UserError, match=r"set0/00.png: there is no caption \(.txt or .json\) next to it"
    ):
        write_images(stages.data(captioned(tiny, folder), "t2i", "train"), tmp_path / "train.h5")
    skipping = captioned(tiny, folder, unreadable="skip")
    write_images(stages.data(skipping, "t2i", "train"), tmp_path / "train.h5")
    assert len(ImageFile(tmp_path / "train.h5").captions("short")) == 37


def test_a_text_to_image_model_is_tuned_on_a_folder_of_pictures(tiny, folder, tmp_path):
    def trained(study, place: Path, initial: Path | None = None) -> Path:
        place.mkdir()
        stage = TrainStage.from_json(stages.train(study, "jit", "t2i"))
        write_images(stages.data(study, "t2i", "train"), place / "train.h5")
        kinds, text = ["short", "dense"], stages.text(study, "t2i", "qwen3")
        write_text(place / "text.h5", text, 100 if initial is None else 38, kinds, stage.text_width)
        data = TrainingData(stage, None, place / "train.h5", place / "text.h5")
        return train_in(place, stage.content, data, initial=initial)

    first = trained(tiny(overrides={"tasks": {"t2i": {"training": {"steps": 8}}}}), tmp_path / "first")
    tuned = trained(captioned(tiny, folder, first), tmp_path / "tuned", first)
    assert read_json(tuned / "stage.json")["expects"]["initial"] == source_hash(first)
    assert curve(tuned)[-1]["step"] == 8
