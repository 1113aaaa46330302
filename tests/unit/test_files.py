"""A file under its final name is complete; failures to write or read end in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import (
    atomic_folder,
    atomic_path,
    check_label,
    label,
    read_json,
    write_json,
    write_text,
)


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with suppress(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_appears_when_it_is_whole_and_replaces_the_old_one(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with suppress(KeyboardInterrupt), atomic_folder(folder) as temporary:
        (temporary / "half").touch()
        raise KeyboardInterrupt
    assert os.listdir(folder) == ["old"]
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert os.listdir(folder) == ["new"]
    assert os.listdir(tmp_path) == ["model"]


def test_a_failed_hdf5_leaves_nothing(tmp_path):
    with suppress(RuntimeError), hdf5.create(tmp_path / "a.h5", label("images", 1, "abc")) as file:
        file["x"] = np.zeros(1000)
        raise RuntimeError
    assert not os.listdir(tmp_path)


FILL = """
import numpy as np, resource, sys
from pathlib import Path
from nanogen.data import hdf5
from nanogen.files import atomic_path, label
from nanogen.errors import UserError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
path = Path(sys.argv[1])
try:
    if path.suffix == ".h5":
        with hdf5.create(path, label("images", 1, "abc")) as file:
            file["x"] = np.zeros(10**6)
    else:
        with atomic_path(path) as temporary:
            temporary.write_bytes(bytes(10**6))
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.bin", "a.h5"])
def test_a_file_that_cannot_grow_ends_in_a_sentence(tmp_path, name):
    """A limit on the file size causes the same failed write as a full disk."""
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"cannot write {path}: File too large\n"
    assert not os.listdir(tmp_path)


def fill(path):
    """Write a megabyte or more with the project's own functions."""
    if path.suffix == ".h5":
        with hdf5.create(path, label("images", 1, "abc")) as file:
            file["x"] = np.zeros(10**6)
    else:
        with atomic_path(path) as temporary:
            temporary.write_bytes(bytes(10**6))


@pytest.mark.parametrize("name", ["a.bin", "a.h5"])
def test_a_full_disk_ends_in_a_sentence(small_disk, name):
    path = small_disk / name
    with pytest.raises(UserError, match=f"cannot write {path}: the disk is full; free some space"):
        fill(path)
    assert not os.listdir(small_disk)


def test_no_permission_ends_in_a_sentence(tmp_path, as_nobody):
    tmp_path.chmod(0o500)
    with as_nobody(), pytest.raises(UserError, match="no permission; change the folder's rights"):
        write_text(tmp_path / "a.txt", "text")
    assert not os.listdir(tmp_path)


def test_a_file_where_a_folder_should_be_ends_in_a_sentence(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match=f"cannot write {tmp_path}/a/b.txt"):
        write_text(tmp_path / "a" / "b.txt", "text")


def test_broken_and_missing_json_are_named(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=f"cannot read {path}: .* does not exist"):
        read_json(path)
    path.write_text('{"a": ')
    with pytest.raises(UserError, match=f"{path} is not valid JSON .* delete it and make it again"):
        read_json(path)
    write_json(path, {"a": "ä"})
    assert read_json(path) == {"a": "ä"}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (label("images", 1, "abc"), None),
        (
            label("latents", 1, "abc"),
            r"is not a nanogen.images file \(its format is 'nanogen.latents'\)",
        ),
        (label("images", 2, "abc"), "has format version 2, this program reads 1; delete it"),
        (label("images", 1, "xyz"), "carries hash xyz, this study expects abc"),
        ({}, "is not a nanogen.images file"),
    ],
)
def test_headers_are_checked_with_both_hashes_in_the_sentence(tmp_path, found, sentence):
    path = tmp_path / "a.h5"
    with hdf5.create(path, found) as file:
        file["x"] = np.arange(3)
    if sentence is None:
        assert hdf5.header(path, "images", 1, "abc")["hash"] == "abc"
        assert hdf5.header(path, "images", 1)["format_version"] == 1
        check_label(found, path, "images", 1, "abc")
        return
    with pytest.raises(UserError, match=sentence) as caught:
        hdf5.header(path, "images", 1, "abc")
    assert str(path) in str(caught.value)
