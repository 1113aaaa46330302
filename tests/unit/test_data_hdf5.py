"""HDF5 files are complete or absent, even if the disk runs full."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label


@pytest.mark.parametrize("room", [3_000, 60_000, 300_000, 700_000])
def test_a_file_that_finds_no_room_ends_in_a_sentence_and_leaves_nothing(tmp_path: Path, room: int):
    data = {"name": "t2i", "source": "scenes", "scene": "single", "resolution": 32}
    data |= {"train_images": 100, "unreadable": "refuse", "root": None}
    stage = {"stage": "data", "hash": "abc", "seed": 7, "split": "train", "data": data}
    (tmp_path / "stage.json").write_text(json.dumps(stage))
    files = ["--config", tmp_path / "stage.json", "--output", tmp_path / "out/train.h5"]
    done = subprocess.run(
        [sys.executable, "-m", "nanogen", "make-data", *files],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert "train.h5: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_an_error_while_writing_leaves_no_file_and_stays_itself(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), hdf5.create(tmp_path / "a.h5", {}) as file:
        file["x"] = np.zeros(10) + 1 / 0
    assert not list(tmp_path.iterdir())


def test_a_map_shows_what_was_written_and_chunks_are_refused(tmp_path: Path):
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    with hdf5.create(tmp_path / "a.h5", label("latents", 1, "abc")) as file:
        file["x"] = values
        file.create_dataset("chunked", data=values, chunks=(1, 4, 5))
    with hdf5.opened(tmp_path / "a.h5", "latents", 1, "abc") as file:
        assert np.array_equal(hdf5.memmap(file, "x"), values)
        with pytest.raises(UserError, match="not stored contiguously"):
            hdf5.memmap(file, "chunked")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["format"] == "nanogen.latents"


def test_no_right_to_write_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"), hdf5.create(tmp_path / "file/a.h5", {}):
        pass


# ------------------------------------------------------------ files that are complete but unreadable


def made(path: Path) -> Path:
    with hdf5.create(path, label("images", 1, "0" * 16)) as file:
        file["images"] = np.zeros((2, 4, 4, 3), np.uint8)
    return path


def test_a_file_in_use_is_not_called_damaged(tmp_path: Path):
    path = made(tmp_path / "v.h5")
    hold = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            with pytest.raises(UserError, match=r"v\.h5: it is in use by another process") as found:
                hdf5.kind(path)
        finally:
            other.kill()
    assert "delete" not in str(found.value)
    assert hdf5.kind(path) == "images"


def test_a_file_that_one_may_not_read_is_not_called_damaged(tmp_path: Path, as_nobody):
    path = made(tmp_path / "v.h5")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "test_")):
            folder.chmod(0o755)
    with as_nobody(), pytest.raises(UserError, match="no permission") as found:
        hdf5.kind(path)
    assert "delete" not in str(found.value)


def test_a_pointer_in_place_of_a_file_is_named(tmp_path: Path):
    path = tmp_path / "v.h5"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match="a Git LFS pointer, not the weights"):
        hdf5.kind(path)
