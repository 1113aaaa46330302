"""Shared fixture: the SLURM cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import Cluster, unavailable


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A two-node SLURM cluster; skips the test if it cannot be started."""
    if reason := unavailable():
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started
