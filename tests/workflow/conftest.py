"""Fixtures: a user's own images."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """An ImageFolder tree: two classes, each with four images for training and one for validation."""
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
