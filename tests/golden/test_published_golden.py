"""The published tables, cell by cell, against the copies beside the repository."""

import csv

import pytest

from nanogen.cli import main

FILES = {
    "table1": "table1_reproducibility",
    "table2": "table2_imagenet_cfg",
    "table3": "table3_t2i",
    "table4": "table4_imagenet_nocfg",
}


def _plain(cell: str) -> float | str:
    """Convert a cell to a float if it is a number, so that trailing zeros do not matter."""
    try:
        return float(cell)
    except ValueError:
        return cell


@pytest.mark.parametrize("name", FILES)
def test_every_cell_of_the_written_table_is_the_papers(name, golden_folder, tmp_path):
    assert main(["table", name, "--published", "--output-prefix", str(tmp_path / name)]) == 0
    with open(tmp_path / f"{name}.csv", newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    path = golden_folder.parent / "published" / f"{FILES[name]}.csv"
    with open(path, newline="", encoding="utf-8") as file:
        paper = list(csv.DictReader(file))
    assert len(written) == len(paper)
    for own, row in zip(written, paper, strict=True):
        if name == "table1":  # the copy has the printed name as its key
            row["name"] = row.pop("method")
        assert {key: _plain(own[key]) for key in row} == {key: _plain(row[key]) for key in row}
