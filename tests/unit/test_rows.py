"""Rows on disk are read correctly, whichever were read ahead and however many files they are in."""

from __future__ import annotations

import numpy as np
import pytest

from nanogen.data.hdf5 import Stored
from nanogen.data.rows import GAP, LARGE, Rows, WindowedRows
from nanogen.errors import UserError

VALUES = np.arange(700 * 6, dtype=np.float16).reshape(700, 2, 3)


def rows(folder, *sizes: int) -> Rows:
    """Write ``VALUES``, 12 bytes per row after a 5-byte prefix, to files of these numbers of rows."""
    parts, first = [], 0
    for k, size in enumerate(sizes):
        path = folder / f"{k}.bin"
        path.write_bytes(b"x" * 5 + VALUES[first : first + size].tobytes())
        parts.append(Stored(path, 5, (size, 2, 3), np.dtype(np.float16)))
        first += size
    return Rows(parts)


@pytest.mark.parametrize("sizes", [(700,), (350, 0, 350), (1, 600, 99)])
def test_rows_of_one_file_or_several_come_in_the_order_asked_for(tmp_path, sizes):
    array = rows(tmp_path, *sizes)
    asked = np.array([699, 0, 350, 0, 349, 1, 2, 3, 698])
    np.testing.assert_array_equal(array[asked], VALUES[asked])
    np.testing.assert_array_equal(array[345:352], VALUES[345:352])
    np.testing.assert_array_equal(array[::7], VALUES[::7])
    np.testing.assert_array_equal(array, VALUES)
    assert array[np.array([], np.int64)].shape == (0, 2, 3)
    assert array.shape == (700, 2, 3)


def test_rows_too_far_apart_for_one_request_are_found(tmp_path):
    far = np.zeros((40000, 4), np.float32)
    far[:, 0] = np.arange(40000)
    (tmp_path / "far").write_bytes(far.tobytes())
    array = Rows([Stored(tmp_path / "far", 0, far.shape, far.dtype)])
    step = GAP // 16 + 3
    np.testing.assert_array_equal(array[::step], far[::step])
    np.testing.assert_array_equal(array[::2], far[::2])


def test_rows_that_are_not_there_and_files_that_end_early_are_refused(tmp_path):
    array = rows(tmp_path, 400, 300)
    with pytest.raises(IndexError):
        array[np.array([700])]
    with open(tmp_path / "1.bin", "r+b") as file:
        file.truncate(1000)
    np.testing.assert_array_equal(array[np.array([399, 400])], VALUES[[399, 400]])
    with pytest.raises(UserError, match=r"1\.bin is truncated"):
        array[np.array([0, 699])]


def test_held_windows_change_nothing_that_is_read(tmp_path):
    held = WindowedRows(rows(tmp_path, 300, 400))
    windows = {4: np.arange(0, 700, 3), 5: np.arange(1, 700, 3), 6: np.array([], np.int64)}
    asked = np.random.default_rng(0).permutation(700)
    held.ahead(windows)
    np.testing.assert_array_equal(held[asked], VALUES[asked])
    np.testing.assert_array_equal(held[asked // 3 * 3], VALUES[asked // 3 * 3])
    held.ahead({7: windows[5]})
    np.testing.assert_array_equal(held[asked], VALUES[asked])


def test_an_error_of_reading_ahead_reaches_who_asks(tmp_path):
    held = WindowedRows(rows(tmp_path, 700))
    with open(tmp_path / "0.bin", "r+b") as file:
        file.truncate(100)
    held.ahead({0: np.arange(700)})
    with pytest.raises(UserError, match="truncated"):
        held[np.array([3])]


def test_large_rows_which_are_read_beside_each_other_come_in_the_order_asked_for(tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (40, LARGE + 3), np.uint8)
    (tmp_path / "large").write_bytes(large.tobytes())
    array = Rows([Stored(tmp_path / "large", 0, large.shape, large.dtype)])
    asked = np.random.default_rng(1).permutation(40)[:25]
    np.testing.assert_array_equal(array[asked], large[asked])
    (tmp_path / "large").write_bytes(large[:30].tobytes())
    with pytest.raises(UserError, match="truncated"):
        array[:]
