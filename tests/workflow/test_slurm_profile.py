"""A profile that names what a cluster lacks ends in one sentence, before a job is submitted."""

from __future__ import annotations

import pytest
import yaml
from sbatch_recorder import Recorder

pytest.importorskip("snakemake_executor_plugin_slurm")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("partitions", "site", "sentence"),
    [
        (
            "main\ndebug",
            None,
            "this cluster has no partition 'gpu'; valid are: debug, main; set it under",
        ),
        (
            "main\ndebug",
            {"mem_mb": 1000},
            "names no slurm_partition and this cluster has no default: set it",
        ),
        (
            "gpu*",
            {"slurm_account": "reserch"},
            "slurm_account 'reserch' is not an account that you may charge; did you",
        ),
    ],
)
def test_a_profile_that_does_not_fit_the_cluster_is_one_sentence(
    working_copy, tmp_path, partitions, site, sentence
):
    (tmp_path / "copy").mkdir()
    copy, options = working_copy(tmp_path / "copy"), []
    if site:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "config.yaml").write_text(yaml.safe_dump({"default-resources": site}))
        options = ["--profile", str(tmp_path / "site")]
    recorder = Recorder(tmp_path)
    target = ["results/smoke/data/t2i/val.h5", "--config", "study=smoke"]
    done = recorder.snakemake(copy, *options, *target, partitions=partitions)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(recorder.submitted())
