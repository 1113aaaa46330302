"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT.parent / "shared" / "reference" / "golden"


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Values made by the authors' code; they lie beside the repository and not in it."""
    if not GOLDEN.is_dir():
        pytest.skip("the folder of golden values, ../shared/reference/golden, is not here")
    return GOLDEN
