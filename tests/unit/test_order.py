"""The order of the data: whole blocks are read, every sample comes once, and there is no state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nanogen.data.order import BLOCK, WINDOW, Order
from nanogen.identity import seed_for

SAMPLE = BLOCK // 4  # bytes: 4 samples in a block, 1024 in a window
LENGTH = 3001  # three windows, the last one smaller; the last block has one sample


@pytest.fixture(scope="module")
def order() -> Order:
    return Order(LENGTH, SAMPLE, 7, "train")


def test_every_sample_comes_once_per_epoch_in_another_order(order):
    epochs = order.rows(0, 3 * LENGTH).reshape(3, LENGTH)
    assert all(sorted(epoch) == list(range(LENGTH)) for epoch in epochs)
    assert len(np.unique(epochs[:, :50], axis=0)) == 3


def test_any_place_can_be_asked_for_first(order):
    whole = order.rows(0, 2 * LENGTH)
    for start in (2 * LENGTH - 10, 1020, 2990, 0):
        again = Order(LENGTH, SAMPLE, 7, "train").rows(start, 10)
        np.testing.assert_array_equal(again, whole[start : start + 10])


def test_a_window_is_made_of_whole_blocks_from_all_over_the_data(order):
    for window in order.windows_of(0, 2 * LENGTH):
        rows = order.rows(window.start, window.stop - window.start)
        blocks = np.unique(rows // 4)
        assert len(blocks) <= WINDOW // BLOCK
        assert len(rows) == sum(min(4, LENGTH - 4 * block) for block in blocks)
        assert blocks.max() - blocks.min() > 500  # of 751
        assert len(np.unique(rows[:64] // 4)) > 40  # a batch does not come from a few blocks


def test_data_of_one_window_is_shuffled_as_a_whole():
    order = Order(1000, SAMPLE, 7, "train")
    generator = torch.Generator().manual_seed(seed_for(7, "train", "order", 2))
    np.testing.assert_array_equal(
        order.rows(2000, 1000), torch.randperm(1000, generator=generator).numpy()
    )
