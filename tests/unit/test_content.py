"""Data is identified by the folder's content, however its path is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_data_folder import picture
from test_data_webdataset import packed, png

from nanogen.config import load_study, stages
from nanogen.config.validation import merged
from nanogen.data.class_names import class_names, class_number
from nanogen.data.content import hash_of
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import write_json
from nanogen.prompts.prompts import prompts_of
from nanogen.prompts.questions import of_prompt


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("cat", "dog"):
        for number in range(3):
            picture(root / "train" / name / f"{number}.png", (20 * number, 0, 0))
        picture(root / "val" / name / "0.png")
    return root


def of(root: Path | str, **keys):
    return load_study("folder", {"data_root": str(root), "methods": ["jit"], **keys})


def hashes(root: Path | str) -> tuple[str, str]:
    """Hashes of the photographs and of the training on them."""
    study = of(root)
    data = stages.data(study, "imagenet", "train")["hash"]
    return data, stages.train(study, "jit", "imagenet")["hash"]


def test_a_path_written_otherwise_is_the_same_data(tree: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "link").symlink_to(tree)
    shutil.copytree(tree, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    ways = [str(tree), f"{tree}/", "tree", "./tree/../tree", "link", str(tmp_path / "copy")]
    assert len({hashes(way) for way in ways}) == 1
    assert len({of(way).data_root for way in ways[:5]}) == 1


def add_class(root: Path) -> None:
    picture(root / "train/ant/0.png")


def rename_class(root: Path) -> None:
    (root / "train/cat").rename(root / "train/kitten")


def add_picture(root: Path) -> None:
    picture(root / "train/cat/9.png")


def remove_picture(root: Path) -> None:
    (root / "train/cat/0.png").unlink()


def rename_picture(root: Path) -> None:
    (root / "train/cat/0.png").rename(root / "train/cat/zero.png")


def change_picture(root: Path) -> None:
    file = root / "train/cat/0.png"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1  # same length; the time is restored below
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = (add_class, rename_class, add_picture, remove_picture, rename_picture, change_picture)


@pytest.mark.parametrize("change", CHANGES)
def test_other_pictures_or_classes_are_other_data(tree: Path, change):
    before = hashes(tree)
    change(tree)
    after = hashes(tree)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_class_of_training_makes_validation_anew_for_its_labels_move(tree: Path):
    before = stages.data(of(tree), "imagenet", "val")["hash"]
    add_picture(tree)
    assert stages.data(of(tree), "imagenet", "val")["hash"] == before
    add_class(tree)
    assert stages.data(of(tree), "imagenet", "val")["hash"] != before


def test_data_that_changed_since_it_was_planned_is_refused(tree: Path, tmp_path: Path):
    stage = stages.data(of(tree), "imagenet", "train")
    write_images(stage, tmp_path / "train.h5")
    add_class(tree)
    with pytest.raises(UserError, match="has changed since this step was planned"):
        write_images(stage, tmp_path / "again.h5")
    assert not (tmp_path / "again.h5").exists()


def test_tar_shards_count_by_what_lies_there(tmp_path: Path):
    def found(root: Path) -> str:
        data = {"source": "webdataset", "root": str(root)}
        given = {"tasks": ["t2i"], "methods": ["jit"], "overrides": {"tasks": {"t2i": {"data": data}}}}
        return stages.data(load_study("smoke", given), "t2i", "train")["hash"]

    root = tmp_path / "shards"
    for split in ("train", "val"):
        packed(root / split / "0.tar", ("a.png", png(1)), ("a.txt", b"one"))
    before = found(root)
    shutil.copytree(root, tmp_path / "copy")
    assert found(tmp_path / "copy") == before
    packed(root / "train/0.tar", ("a.png", png(1)), ("a.txt", b"two"))
    assert found(root) != before


def test_weights_that_were_tuned_are_another_model(tmp_path: Path):
    folder = tmp_path / "vae"
    folder.mkdir()
    write_json(folder / "config.json", {})
    weights = bytearray(1 << 20)
    (folder / "model.safetensors").write_bytes(weights)

    def found() -> str:
        keys = {"models": {"sd-vae-mse": {"source": "path", "path": str(folder)}}}
        return stages.model(load_study("nano", merged(keys)), "sd-vae-mse")["hash"]

    before = found()
    assert found() == before
    weights[1 << 19 : (1 << 19) + (1 << 15)] = bytes([1]) * (1 << 15)
    (folder / "model.safetensors").write_bytes(weights)
    assert found() != before


def test_the_order_in_which_files_are_found_is_no_matter(tmp_path: Path):
    files = [picture(tmp_path / f"{k}.png", (k, 0, 0)) for k in range(5)]
    named = [(file.name, file) for file in files]
    assert hash_of(named) == hash_of(reversed(named))


# ------------------------------------------------------------------------- names of the classes


def test_a_number_that_names_a_folder_is_that_folder():
    names = sorted(map(str, range(12)))
    assert names[class_number("2", names, 12)] == "2"
    assert class_number("10", names, 12) == names.index("10")
    with pytest.raises(UserError, match="'12' is unknown"):
        class_number("12", names, 12)
    assert class_number("2", ["cat", "dog", "owl"], 3) == 2
    with pytest.raises(UserError, match="'0' is unknown"):
        class_number("0", ["1", "2"], 2)


def test_names_are_kept_with_the_model(tree: Path):
    (tree / "train/.ipynb_checkpoints").mkdir()
    use = stages.train(of(tree), "jit", "imagenet")["use"]
    assert use["classes"] == ["cat", "dog"]
    shutil.rmtree(tree)
    data = (use["data"][key] for key in ("name", "source", "root"))
    names = class_names(*data, classes=2, kept=use["classes"])
    assert class_number("dog", names, 2) == 1


def test_without_names_kept_the_folders_are_read_as_training_reads_them(tree: Path):
    (tree / "train/.ipynb_checkpoints").mkdir()
    (tree / "train/__MACOSX").mkdir()
    assert class_names("imagenet", "folder", str(tree), 2) == ["cat", "dog"]


def test_full_imagenet_is_asked_for_by_words_and_wordnet_numbers():
    names = class_names("imagenet", "folder", None, 1000)
    assert class_number("n01440764", names, 1000) == class_number("tench", names, 1000) == 0
    assert class_number("207", names, 1000) == 207


@pytest.fixture
def numbered(tree: Path) -> Path:
    """The tree with WordNet numbers as folder names: tench and tiger."""
    for split in ("train", "val"):
        for name, number in (("cat", "n02129604"), ("dog", "n01440764")):
            (tree / split / name).rename(tree / split / number)
    return tree


def test_folders_of_wordnet_numbers_are_captioned_prompted_and_asked_for_in_english(numbered, tmp_path):
    write_images(stages.data(of(numbered), "t2i", "train"), tmp_path / "x.h5")
    file = ImageFile(tmp_path / "x.h5")
    assert file.classes == ["n01440764", "n02129604"]
    assert list(dict.fromkeys(file.captions())) == ["a photo of a tench", "a photo of a tiger"]
    prompts = prompts_of(stages.prompts(of(numbered)), tmp_path)
    assert [prompt["prompt"] for prompt in prompts] == ["a photo of a tench", "a photo of a tiger"]
    assert of_prompt("0", prompts[1])[0].text == "Is there a tiger?"
    names = class_names("imagenet", "folder", str(numbered), 2)
    for asked in ("tiger", "Panthera tigris", "n02129604", "1"):
        assert class_number(asked, names, 2) == 1


def test_only_what_reads_captions_runs_again_for_the_english_names(numbered, monkeypatch):
    def hashes() -> list[str]:
        study = of(numbered)
        data = [stages.data(study, task, "train")["hash"] for task in ("imagenet", "t2i")]
        return [*data, stages.prompts(study)["hash"]]

    english = hashes()
    monkeypatch.setattr("nanogen.data.wordnet.words", lambda name: None)
    before = hashes()
    assert [a == b for a, b in zip(english, before, strict=True)] == [True, False, False]


def test_prompts_of_classes_follow_the_folders(tree: Path, tmp_path: Path):
    before = stages.prompts(of(tree))
    assert [prompt["prompt"] for prompt in prompts_of(before, tmp_path)] == [
        "a photo of a cat",
        "a photo of a dog",
    ]
    add_picture(tree)
    assert stages.prompts(of(tree))["hash"] == before["hash"]
    add_class(tree)
    assert stages.prompts(of(tree))["hash"] != before["hash"]


def array_study(root: Path, file: str = "v.npz"):
    data = {"source": "array", "root": str(root), "file": file, "resolution": 32}
    return load_study("nano", {"overrides": {"tasks": {"imagenet": {"data": data}}}})


def array(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, np.random.default_rng(seed).integers(0, 256, (6, 32, 32, 3), np.uint8))


def test_an_array_of_ones_own_is_identified_by_its_file_and_imported(tmp_path):
    array(tmp_path / "one/v.npz", 1)
    (tmp_path / "one/notes.txt").write_text("other files do not count")
    array(tmp_path / "same/v.npz", 1)
    array(tmp_path / "other/v.npz", 2)
    planned = [
        stages.data(array_study(tmp_path / n), "imagenet", "val") for n in ("one", "same", "other")
    ]
    assert planned[0]["hash"] == planned[1]["hash"] != planned[2]["hash"]
    write_images(planned[0], tmp_path / "val.h5")
    with np.load(tmp_path / "one/v.npz") as file:
        assert (ImageFile(tmp_path / "val.h5").images[:] == file["arr_0"]).all()
    array(tmp_path / "one/v.npz", 3)
    with pytest.raises(UserError, match="has changed since this step was planned"):
        write_images(planned[0], tmp_path / "again.h5")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("w.npz", "there is no file w.npz below"),
        ("", "name the .npz file of its images as data.file"),
        ("/v.npz", "/v.npz must be relative to data.root"),
    ],
)
def test_an_array_that_is_not_there_is_refused_before_anything_runs(tmp_path, file, said):
    with pytest.raises(UserError, match=said):
        stages.data(array_study(tmp_path, file), "imagenet", "val")
