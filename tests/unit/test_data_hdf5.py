"""HDF5 files are whole or absent, even where the disk ends before they do."""

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
