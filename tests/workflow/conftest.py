"""Data of the user's that a graph is made of."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """An ImageFolder tree: two classes, four pictures for training and one to validate."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("photographs")
    colours = np.random.default_rng(1)
    for split, count in (("train", 4), ("val", 1)):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = colours.integers(0, 256, (40, 48, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root
