"""Every number in README.md is computed from the repository or recorded as measured."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nanogen.backbones import parameter_count
from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.load import load_run, trained_run
from nanogen.config.train_stage import TrainStage
from nanogen.config.yaml_files import CONFIG
from nanogen.docs.readme import BEGIN, END, results
from nanogen.linear import PROCESSOR

ROOT = CONFIG.parent
RECORD = ROOT / "docs/figures/measured.yaml"
FINISHED = ROOT / "results/nano"
WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen".split()  # noqa: SIM905
# Numbers in names, such as Table 2 and H100, are ignored, and so is "one", which rarely is a count.
NAMES = re.compile(r"\bTables? \d( to \d)?|\]\([^)]*\)|https?://\S+")
NUMBER = re.compile(rf"(?<![\w/.:=-])(\d[\d,.]*|({'|'.join(WORDS[2:])}|half|quarter)\b)", re.I)


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def readme() -> tuple[str, str]:
    """README.md without its table of results, and that table."""
    before, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    return plain(NAMES.sub("]", before + after)), table.strip()


@pytest.fixture(scope="module")
def measured() -> list[str]:
    """The statements in README.md that come from measurements."""
    return [plain(one["says"]) for one in yaml.safe_load(RECORD.read_text(encoding="utf-8"))["measured"]]


def parameters(study: str) -> set[int]:
    """The parameter counts of a study's runs."""
    found = load_study(study)
    named = [(method, task) for method in found.methods for task in found.tasks]
    return {parameter_count(TrainStage.from_json(stages.train(found, *run))) for run in named}


def planned(study: str, capsys) -> str:
    """The output of `nanogen plan`."""
    assert main(["plan", "--study", study]) == 0
    return capsys.readouterr().out


def hours_and_disk(plan: str) -> str:
    hours = re.search(r"GPU hours: ([\d.]+):", plan)
    disk = re.search(r"disk: (\d+) GB:", plan)
    return f"{hours[1]} H100 hours and {disk[1]} GB of disk, planned"


def from_plans(capsys) -> Iterator[str]:
    lines = planned("released", capsys).splitlines()
    rows = [float(line.split()[-1]) for line in lines if re.search(r"^\S+ +imagenet +100000 ", line)]
    middle = sorted(rows)[len(rows) // 2]
    yield f"about {middle:.1f} H100 hours per method and ImageNet row, planned"
    yield hours_and_disk(planned("mid-one", capsys))
    yield hours_and_disk(planned("mid", capsys))
    plan = planned("paper", capsys)
    trainings, hours = re.search(r"(\d+) trainings ", plan), re.search(r"^all +(\d+)$", plan, re.M)
    yield f"{int(hours[1]):,} H100 hours for all {trainings[1]} trainings"


def from_studies() -> Iterator[str]:
    paper, mid, nano, seeds = (load_study(name) for name in ("paper", "mid", "nano", "nano-seeds"))
    yield f"one evaluation for {len(paper.methods)} methods on {WORDS[len(paper.tasks)]} tasks,"
    ten, every = (len(load_study(name).methods) for name in ("nano-ten", "nano-all"))
    yield f"{WORDS[ten]} methods; `nano-all` has all {every} |"
    (size,) = {f"{round(count / 1e7)}0M" for study in ("mid", "mid-one") for count in parameters(study)}
    yield f"one method of {size} on ImageNet"
    yield f"{WORDS[len(mid.methods)]} methods of {size} on both tasks"
    (size,) = {f"{count / 1e6:.1f}" for count in parameters("nano")}
    side = load_run(nano, "jit", "imagenet").data.resolution
    yield f"images have {side}×{side} pixels, networks {size} million parameters"
    images = trained_run(load_study("released"), "flux2-vae", "imagenet").evaluation.images
    yield f"draws {images:,} images"
    yield f"trains {WORDS[seeds.seeds]} seeds of {WORDS[len(seeds.methods)]} methods"


def from_files(folder: Path) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield f"Python {project['requires-python'].removeprefix('>=')} or newer"
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Where to go for")[2].partition("## ")[0]
    yield f"the file for {WORDS[len(re.findall('^[|] ', table, re.M)) - 1]} common changes"
    assert main(["table", "correlations", "--published", "--output-prefix", str(folder / "r")]) == 0
    with open(folder / "r.csv", encoding="utf-8", newline="") as file:
        rows = {
            row["metric"]: row
            for row in csv.DictReader(file)
            if (row["axis"], row["guidance"], row["name"]) == ("fid", "yes", "Latent space")
        }
    (count,) = {row["n"] for row in rows.values()}
    yield f"the paper's own {count} latent-space methods"
    for metric, name in (
        ("geneval", "GenEval"),
        ("dpg_bench", "DPG-Bench"),
        ("genai_bench", "GenAI-Bench"),
    ):
        r, *ends = (float(rows[metric][key]) for key in ("pearson", "pearson_low", "pearson_high"))
        low, high = (f"{end:.2f}" for end in ends)
        yield f"{name}{' is' * (metric == 'geneval')} {r:.3f} [{low}, {high}]".replace("-0", "−0")


@pytest.mark.slow
def test_every_number_is_computed_or_recorded(measured, tmp_path, capsys):
    text, _ = readme()
    given = [*from_studies(), *from_files(tmp_path), *from_plans(capsys)]
    assert [words for words in [*given, *measured] if words not in text] == []
    for words in (*given, *measured, "with 95 % intervals"):
        text = text.replace(words, NUMBER.sub("#", words))
    sentences = re.split(r"(?<=[.:|]) ", text)
    assert [sentence for sentence in sentences if NUMBER.search(sentence)] == []


finished = pytest.mark.skipif(
    not (FINISHED / "tables/table3.csv").exists(), reason="study nano is not finished"
)


def made_as_readmes() -> bool:
    """Whether the finished study has README's seed and processor; with others the values differ."""
    made = json.loads((FINISHED / "runs/imagenet/jit/model/provenance.json").read_text())
    described = PROCESSOR.read_text() if PROCESSOR.exists() else ""
    recorded = yaml.safe_load(RECORD.read_text())["processor"]
    same = all(re.search(rf"^{key}\s*: {value}$", described, re.M) for key, value in recorded.items())
    return same and made["configuration"]["seed"] == load_study("nano").seed


@finished
def test_the_results_are_those_of_the_finished_study():
    if not made_as_readmes():
        pytest.skip("the study was made with another seed or on another processor than README's")
    assert readme()[1] == results(FINISHED)


@finished
def test_the_results_have_the_methods_and_columns_of_the_finished_study():
    def labels(table: str) -> tuple[str, list[str]]:
        lines = table.strip().splitlines()
        return lines[0], [line.split("|")[1] for line in lines]

    assert labels(readme()[1]) == labels(results(FINISHED))
