"""The smoke study with `snakemake --profile slurm`, stage 2 on two nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SITE = Path(__file__).parent / "site"
ON_CLUSTER = ("--profile", "slurm", "--profile", str(SITE))
STUDY = ("--config", "study=smoke", "methods=[jit]")
RESULTS = "results/smoke"


@pytest.fixture(scope="module")
def submitted(cluster, working_copy, tmp_path_factory):
    """The study, run on the cluster."""
    copy = working_copy(tmp_path_factory.mktemp("submitted"))
    outcome = copy.snakemake("all", *ON_CLUSTER, *STUDY)
    assert outcome.code == 0, outcome.text[-5000:]
    return copy


@pytest.fixture(scope="module")
def local(submitted, working_copy, tmp_path_factory):
    """The same study on this machine from the trainings on, each with two processes."""
    copy = working_copy(tmp_path_factory.mktemp("local"))
    for made in ("results", ".snakemake"):
        shutil.copytree(submitted / made, copy / made)
    for again in ("runs", "tables", "figures"):
        shutil.rmtree(copy / RESULTS / again)
    outcome = copy.snakemake("all", "--set-resources", "train:processes=2", *STUDY)
    assert outcome.code == 0, outcome.text[-5000:]
    assert "rule make_data" not in outcome.text
    return copy


def tables(copy) -> set[Path]:
    return {path.relative_to(copy.folder) for path in (copy / RESULTS / "tables").rglob("*.csv")}


def test_the_study_on_two_nodes_ends_with_the_tables_of_one_machine(local, submitted):
    assert tables(submitted) == tables(local)
    for name in ("table2", "table3", "table4"):
        table = f"{RESULTS}/tables/{name}.csv"
        assert (submitted / table).read_text() == (local / table).read_text(), name


def test_its_weights_are_those_of_two_processes_of_one_machine(local, submitted):
    for task in ("imagenet", "t2i"):
        weights = f"{RESULTS}/runs/{task}/jit/model/model.safetensors"
        assert (submitted / weights).read_bytes() == (local / weights).read_bytes()
