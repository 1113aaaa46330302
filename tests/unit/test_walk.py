"""Folders from users: every command sees the same files and reports what it skips."""

from __future__ import annotations

import json
import logging
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data_folder import picture, stage

from nanogen.data.image_import import write_images
from nanogen.data.image_sets import open_images
from nanogen.data.images import ImageFile
from nanogen.data.prompted_images import drawn_images, passed_over
from nanogen.data.walk import walk
from nanogen.errors import UserError


def pictures(folder: Path, count: int = 4) -> Path:
    for number in range(count):
        picture(folder / f"{number}.png", (10 * number, 0, 0), (16, 16))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four training images and one validation image each of cat and dog."""
    root = tmp_path / "tree"
    for name in ("cat", "dog"):
        pictures(root / "train" / name)
        pictures(root / "val" / name, 1)
    return root


def imported(root: Path, output: Path, split: str = "train", **keys) -> ImageFile:
    write_images(stage(root, split, **keys), output)
    return ImageFile(output)


def test_scoring_follows_links_to_folders_and_names_those_that_lead_nowhere(tmp_path: Path, caplog):
    pictures(tmp_path / "disk2/b")
    images = pictures(tmp_path / "images/a").parent
    (images / "b").symlink_to("../disk2/b")
    for number in range(4):
        (images / f"gone{number}.png").symlink_to(f"/gone/{number}.png")
    found = open_images(images)
    assert len(found) == 8
    assert "4 links that lead nowhere (gone0.png, gone1.png, gone2.png, ...)" in found.passed_over
    assert found.passed_over in caplog.text


def test_a_folder_of_links_that_lead_nowhere_says_so(tmp_path: Path):
    (tmp_path / "a.png").symlink_to("/gone/a.png")
    (tmp_path / "b.png").symlink_to("b.png")
    with pytest.raises(
        UserError, match=r"holds no images.*2 links that lead nowhere \(a\.png, b\.png\)"
    ):
        open_images(tmp_path)


def test_hidden_files_and_what_systems_leave_are_no_images(tmp_path: Path):
    images = pictures(tmp_path / "images")
    for name in (".ipynb_checkpoints/0.png", "__MACOSX/0.png", "@eaDir/0.png/THUMB.jpg"):
        picture(images / name, size=(16, 16))
    (images / "._0.png").write_bytes(b"x")
    (images / "Thumbs.db").write_bytes(b"x")
    found = open_images(images)
    assert len(list(found.batches(1))) == 4
    assert "3 left by an operating system" in found.passed_over
    assert "2 hidden" in found.passed_over


def test_scoring_reads_what_training_reads_and_counts_the_rest(tmp_path: Path):
    images = pictures(tmp_path, 1)
    for suffix, kind in (("bmp", "BMP"), ("TIF", "TIFF"), ("jfif", "JPEG"), ("gif", "GIF")):
        Image.new("RGB", (16, 16)).save(images / f"x.{suffix}", kind)
    (images / "x.heic").write_bytes(b"x")
    (images / "notes").write_bytes(b"x")
    found = open_images(images)
    assert len(found) == 5
    assert found.passed_over == "1 without suffix, 1 .heic"


def test_a_pipe_does_not_hang(tmp_path: Path):
    images = pictures(tmp_path, 1)
    os.mkfifo(images / "pipe.png")
    assert len(list(open_images(images).batches(1))) == 1


def test_a_folder_that_cannot_be_read_ends_the_walk(tmp_path: Path, as_nobody):
    pictures(tmp_path / "a")
    closed = pictures(tmp_path / "b")
    closed.chmod(0)
    tmp_path.chmod(0o755)
    try:
        for above in tmp_path.parents:
            if above.name.startswith(("pytest-", "popen-")):
                above.chmod(0o755)
        with as_nobody(), pytest.raises(UserError, match=r"cannot read .*b: no permission"):
            walk(tmp_path)
    finally:
        closed.chmod(0o755)


def test_links_back_are_named_and_each_picture_comes_once(tree: Path, tmp_path: Path):
    (tree / "train/cat/up").symlink_to("..")
    (tree / "train/cat/more").mkdir()
    (tree / "train/cat/more/again").symlink_to(tree)
    with pytest.raises(UserError, match=r"2 files .*(?s:.*)cat/up: a link back to a folder"):
        imported(tree, tmp_path / "x.h5")
    found = imported(tree, tmp_path / "x.h5", unreadable="skip", most=1000)
    assert np.bincount(found.labels).tolist() == [4, 4]
    assert open_images(tree / "train").count == 8


def test_a_link_that_leads_nowhere_is_an_unreadable_picture_of_training(tree: Path, tmp_path: Path):
    (tree / "train/cat/9.png").symlink_to("/gone/9.png")
    with pytest.raises(UserError, match=r"cat/9\.png: a link that leads nowhere"):
        imported(tree, tmp_path / "x.h5")


def test_what_systems_leave_is_no_class_and_no_picture(tree: Path, tmp_path: Path, caplog):
    for name in ("train/__MACOSX/cat/._0.png", "train/cat/@eaDir/0.png/THUMB.jpg", "val/__MACOSX/x"):
        picture(tree / name) if name.endswith("jpg") else (tree / name).parent.mkdir(parents=True)
    (tree / "train/dog/Thumbs.db").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        found = imported(tree, tmp_path / "train.h5")
    assert found.classes == ["cat", "dog"]
    assert len(found) == 8
    assert "1 left by an operating system (@eaDir)" in caplog.text
    assert imported(tree, tmp_path / "val.h5", "val").classes == ["cat", "dog"]


def test_classes_are_the_same_in_both_unicode_forms(tree: Path, tmp_path: Path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    pictures(tree / "train" / decomposed)
    pictures(tree / "val" / composed, 1)
    assert imported(tree, tmp_path / "train.h5").classes == [composed, "cat", "dog"]
    assert imported(tree, tmp_path / "val.h5", "val").labels.tolist() == [0, 1, 2]
    pictures(tree / "train" / composed)
    with pytest.raises(UserError, match="differ in Unicode form only"):
        imported(tree, tmp_path / "train.h5")


def test_a_class_whose_name_is_no_text_is_named(tree: Path, tmp_path: Path):
    os.mkdir(os.fsencode(tree / "train") + b"/caf\xe9")
    with pytest.raises(UserError, match="not Unicode text"):
        imported(tree, tmp_path / "train.h5")


@pytest.mark.parametrize(
    ("source", "name"),
    [("folder", b"cat/\xe9.png"), ("captioned", b"\xe9.png"), ("webdataset", b"\xe9.tar")],
)
def test_a_file_whose_name_is_no_text_is_named(tree: Path, tmp_path: Path, source: str, name: bytes):
    with open(os.fsencode(tree / "train") + b"/" + name, "wb") as file:
        file.write((tree / "train/cat/0.png").read_bytes())
    with pytest.raises(UserError, match=r"file b'.*xe9\..*' holds a character that is not Unicode text"):
        imported(tree, tmp_path / "train.h5", source=source)


def test_a_table_whose_name_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "root").mkdir()
    with open(os.fsencode(tmp_path / "root") + b"/train-\xe9.arrow", "wb") as file:
        file.write(b"x")
    with pytest.raises(UserError, match="holds a character that is not Unicode text"):
        imported(tmp_path / "root", tmp_path / "train.h5")


def test_prompted_images_follow_links_and_count_what_is_passed_over(tmp_path: Path):
    pictures(tmp_path / "elsewhere/samples", 2)
    folder = pictures(tmp_path / "drawn/00000/samples", 2).parents[1]
    (folder / "00001").symlink_to(tmp_path / "elsewhere")
    picture(folder / "00001/samples/._1.png")
    picture(folder / "grid.png")
    drawn = drawn_images(folder, 2)
    assert [len(found) for found in drawn.values()] == [2, 2]
    assert passed_over(folder, drawn) == "1 hidden (._1.png), 1 files that are not images of a prompt"
    picture(folder / "0-0.png")
    with pytest.raises(UserError, match="both layouts"):
        drawn_images(folder, 2)


def test_the_file_of_classes_holds_composed_names(tree: Path, tmp_path: Path):
    os.rename(tree / "train/cat", tree / "train" / unicodedata.normalize("NFD", "é"))
    file = imported(tree, tmp_path / "train.h5")
    assert json.dumps(file.classes) == json.dumps(["dog", "é"])
