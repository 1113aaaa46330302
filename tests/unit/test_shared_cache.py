"""A cache shared by two studies: a reader sees one complete version while others replace it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from nanogen.caches.files import LatentFile
from nanogen.caches.shards import LATENTS
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label

COUNT = 2000
FORK = multiprocessing.get_context("fork")


def write(path: Path, value: int, hash_: str = "abc") -> None:
    """Write latents that all equal ``value``, in several parts as an encoder does."""
    header = label(*LATENTS, hash_, tokenizer="vae", tokenizer_hash="0")
    with hdf5.create(path, header) as file:
        latents = file.create_dataset("latents", (COUNT, 4, 2, 2), np.float16)
        part = np.full((100, 4, 2, 2), value, np.float16)
        file["labels"] = np.full(COUNT, value)
        for start in range(0, COUNT, 100):
            latents[start : start + 100] = part


def values(cache: LatentFile) -> set[float]:
    return {*np.unique(cache.latents[np.arange(COUNT)]).tolist(), *cache.labels.tolist()}


def again_and_again(path: Path, value: int) -> None:
    for _ in range(30):
        write(path, value)


def test_while_two_write_it_whoever_opens_it_reads_one_of_them(tmp_path):
    path = tmp_path / "latents.h5"
    write(path, 1)
    writers = [FORK.Process(target=again_and_again, args=(path, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    read, told = 0, set()
    while any(writer.is_alive() for writer in writers):
        try:
            found = values(LatentFile(path, "abc"))
        except UserError as error:
            told.add(str(error))
        else:
            assert len(found) == 1
            read += 1
    assert read
    assert told <= {f"{path} was replaced while it was being opened; start again"}
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert os.listdir(tmp_path) == ["latents.h5"]


def test_a_reader_keeps_what_it_has_opened_when_it_is_replaced(tmp_path):
    path = tmp_path / "latents.h5"
    write(path, 1)
    cache = LatentFile(path, "abc")
    write(path, 2, "xyz")
    assert values(cache) == {1.0}
    with pytest.raises(UserError, match="was made by another configuration: it carries hash xyz"):
        LatentFile(path, "abc")


def test_while_it_is_written_first_it_is_not_there(tmp_path):
    path = tmp_path / "latents.h5"
    with hdf5.create(path, label(*LATENTS, "abc", tokenizer="vae", tokenizer_hash="0")) as file:
        file["latents"] = np.zeros((4, 4, 2, 2), np.float16)
        with pytest.raises(UserError, match=f"{path} does not exist; make it with"):
            LatentFile(path, "abc")
        file["labels"] = np.zeros(4, np.int64)
    assert len(LatentFile(path, "abc")) == 4
