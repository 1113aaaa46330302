"""Exports for a paper: numbers as LaTeX commands, and one archive of tables and figures."""

import hashlib
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from measured import write_smoke

from nanogen.cli import main

TABLES = ("table2", "table3", "table4", "correlations")


@pytest.fixture
def tables(tmp_path, monkeypatch) -> list[str]:
    """Write the smoke study's tables and the paper's, as the workflow does, and return their paths."""
    monkeypatch.chdir(tmp_path)
    write_smoke()
    for name in TABLES:
        for options, folder in ((["--study", "smoke"], ""), (["--published"], "published/")):
            prefix = f"results/smoke/tables/{folder}{name}"
            assert main(["table", name, *options, "--output-prefix", prefix]) == 0
    return sorted(map(str, Path("results/smoke/tables").rglob("*.csv")))


def quoted(tables: list[str]) -> dict[str, str]:
    output = "results/smoke/numbers.tex"
    assert main(["numbers", "--study", "smoke", "--input", *tables, "--output", output]) == 0
    lines = Path(output).read_text().splitlines()[1:]
    pairs = [re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{(.+)\}", line) for line in lines]
    assert all(pairs)
    names = [pair[1] for pair in pairs]
    assert len(names) == len(set(names))
    return {pair[1]: pair[2] for pair in pairs}


def test_numbers_are_those_of_the_tables(tables):
    found = quoted(tables)
    assert found["publishedCorrelationGenevalGuidedLatentSpace"] == r"\ensuremath{-0.555}"
    assert found["publishedCorrelationGenaiBenchUnguidedLatentSpace"] == r"\ensuremath{-0.620}"
    assert found["publishedCorrelationGenevalGuidedLatentSpaceN"] == "21"
    assert (found["publishedBestFidGuided"], found["publishedBestFidGuidedMethod"]) == (
        "1.37",
        "FLUX.2-VAE",
    )
    assert (found["measuredBestGeneval"], found["measuredBestGenevalMethod"]) == ("0.750", "SD-VAE-MSE")
    assert (found["publishedMethods"], found["publishedMethodsLatent"]) == ("26", "21")
    assert (found["measuredMethods"], found["measuredStudy"]) == ("3", "smoke")


def test_too_few_methods_give_a_dash_and_say_how_many(tables):
    found = quoted(tables)
    assert found["measuredCorrelationGenevalGuidedLatentSpace"] == "--"
    assert found["measuredCorrelationGenevalGuidedLatentSpaceN"] == "2"


def test_a_missing_number_is_left_out_of_the_best(tables):
    path = Path("results/smoke/tables/table3.csv")
    path.write_text(path.read_text().replace("0.75,", ",", 1))
    found = quoted(tables)
    assert (found["measuredBestGeneval"], found["measuredBestGenevalMethod"]) == ("0.500", "DINOv2-B")


def packed(files: list[str], output: str) -> bytes:
    assert main(["bundle", "--study", "smoke", "--input", *files, "--output", output]) == 0
    return Path(output).read_bytes()


def test_the_archive_is_the_same_bytes_for_the_same_files(tables):
    first = packed(tables, "a.zip")
    for path in tables:
        os.utime(path, (1e9, 1e9))
    assert packed(tables[::-1], "b.zip") == first


def test_the_archive_holds_every_file_with_its_checksum(tables):
    packed(tables, "a.zip")
    with zipfile.ZipFile("a.zip") as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        archive.extractall("unpacked")
    assert names == sorted(names)
    assert manifest["format"] == "nanogen.bundle"
    assert [entry["file"] for entry in manifest["files"]] == [
        path.removeprefix("results/smoke/") for path in tables
    ]
    for entry in manifest["files"]:
        content = Path("results/smoke", entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd="unpacked", check=False).returncode == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [("results/smoke/tables/table9.csv", "does not exist"), ("stray.csv", "lies outside results/smoke")],
)
def test_files_that_cannot_be_packed_are_named(tables, capsys, path, said):
    Path("stray.csv").write_text("a\n")
    assert main(["bundle", "--study", "smoke", "--input", path, "--output", "a.zip"]) == 2
    printed = capsys.readouterr().err
    assert path in printed
    assert said in printed
    assert not Path("a.zip").exists()
