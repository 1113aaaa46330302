"""A cluster is asked for what a profile names, with stand-ins for SLURM's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanogen.config.site import check_slurm
from nanogen.errors import UserError

SINFO = '#!/bin/sh\ncase "$*" in *--all*) echo hidden ;; esac\necho "main*"\n'


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Path:
    """A cluster with a default partition, and one that sinfo shows only with --all."""
    (tmp_path / "sinfo").write_text(SINFO)
    (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    return tmp_path


def test_a_hidden_partition_may_be_used(cluster):
    check_slurm(["hidden", "main", ""], [])


def test_a_partition_that_is_not_there_names_the_nearest(cluster):
    with pytest.raises(UserError, match="no partition 'hiden'; did you mean 'hidden'"):
        check_slurm(["hiden"], [])
