"""Fixtures: headless Chromium, and the pages of a small study with invented results."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from nanogen.cli import main
from nanogen.config import load_run, load_study, stages, variants
from nanogen.config.paths import Paths
from nanogen.data import hdf5
from nanogen.files import label, write_json

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
METHODS = ("dinov2-b", "spatialpe-l", "sd-vae-mse", "flux2-vae", "jit", "meanflow")
UNGUIDED = {"methods": {"meanflow": {"evaluation": {"unguided": True}}}}
GIVEN = {"methods": list(METHODS), "overrides": UNGUIDED}
KEYS = json.dumps(GIVEN)


@pytest.fixture(scope="session")
def chromium():
    """A headless browser; skips if Chromium is not installed."""
    if CHROMIUM is None:
        pytest.skip(
            "Chromium is not installed: `make test-setup` installs it, or `apt-get install chromium`"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """``opened(path, width)``: the page in a window of this width, once it has an element ``ready``.

    Afterwards no page may have logged an error or requested anything but itself.
    """
    contexts, errors, requests = [], [], []

    def open_page(path: Path, width: int = 1280, ready: str = "html[data-ready]", **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type in ("error", "warning") and errors.append(said.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(ready)
        requests.remove(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [address for address in requests if not address.startswith("data:")] == []


@pytest.fixture(scope="session")
def published_page(tmp_path_factory) -> Path:
    """The explorer page of the paper's numbers."""
    path = tmp_path_factory.mktemp("published") / "explorer.html"
    assert main(["explorer", "--source", "published", "--output", str(path)]) == 0
    return path


def _metric(paths: Paths, stage, key, values: dict[str, float]) -> None:
    task, method, variant, name = key
    about = {"task": task, "method": method, "variant": variant, "metric": name}
    more = {"values": values, "protocol": f"{name} by the test's protocol", "inputs": {"samples": "abc"}}
    header = label("metric", 1, stage["hash"])
    write_json(paths.metric(method, task, variant, name), {**header, **about, **more})


def _imagenet(study, method: str, variant: str, random: np.random.Generator) -> None:
    stage = stages.distribution(study, method, variant)
    spaces = stages.extractors(study)
    for name, keys in {
        "fid": ["fid"],
        "is": ["is"],
        "fdr": [f"fdr_{space}" for space in spaces],
        "mind": [f"mind_{space}" for space in spaces],
        "pr": ["precision", "recall"],
        "sfid": ["sfid"],
        "accuracy": ["accuracy", "accuracy_low", "accuracy_high", "accuracy_chance"],
    }.items():
        values = {key: float(random.uniform(5, 30)) for key in keys}
        _metric(Paths(study), stage, ("imagenet", method, variant, name), values)


def _text_to_image(study, method: str, variant: str, random: np.random.Generator) -> None:
    measured = {"geneval": (stages.geneval, ["geneval", "chance"])}
    for name, key in (("dpg", "dpg_bench"), ("genai", "genai_bench")):
        measured[name] = (stages.question_scores, [key, f"chance_{key}"])
    simple = [f"simpleeval{suffix}" for suffix in ("", "_low", "_high", "_chance")]
    measured["simpleeval"] = (stages.simpleeval, simple)
    for name, (stage, keys) in measured.items():
        values = {key: float(random.uniform(0, 1)) for key in keys}
        _metric(Paths(study), stage(study, method, variant), ("t2i", method, variant, name), values)


def _samples(study, method: str, task: str, variant: str) -> None:
    images = np.full((6, 32, 32, 3), 90, np.uint8)
    about = {"method": method, "task": task, "variant": variant}
    path = Path(Paths(study).samples(method, task, variant))
    with hdf5.create(path, label("samples", 1, "0", **about)) as file:
        file["images"], file["labels"] = images, np.arange(6)


def _measured_study() -> None:
    """Write metric files, samples and tables of six of nano's methods below the working directory."""
    study = load_study("nano", GIVEN)
    random = np.random.default_rng(0)
    prompts = [{"prompt": f"a photo of {n} circles", "tag": "counting"} for n in range(6)]
    write_json(Paths(study).prompts, label("prompts", 1, "0", prompts=prompts))
    for method in METHODS:
        for task, guidances in {"imagenet": ("cfg", "nocfg", "untrained"), "t2i": ("cfg",)}.items():
            run = load_run(study, method, task)
            for variant in (name for g in guidances for name in variants.with_steps(run, g)):
                (_imagenet if task == "imagenet" else _text_to_image)(study, method, variant, random)
                _samples(study, method, task, variant)
        card = label("model", 1, stages.train(study, method, "t2i")["hash"])
        write_json(Paths(study).trained(method, "t2i"), {**card, "quality": {"parameters": 1634221}})
    for table in ("table2", "table3", "table4"):
        prefix = Paths(study).table(table).removesuffix(".csv")
        assert main(["table", table, "--study", "nano", "--given", KEYS, "--output-prefix", prefix]) == 0


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory) -> Path:
    """A folder with the metric files, samples and tables of six of nano's methods."""
    folder = tmp_path_factory.mktemp("study")
    with chdir(folder):
        _measured_study()
    return folder


@pytest.fixture(scope="session")
def study_page(study_folder) -> Path:
    """The explorer page of that study, which also holds the paper's numbers."""
    path = study_folder / "explorer.html"
    with chdir(study_folder):
        assert main(["explorer", "--source", "nano", "--given", KEYS, "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def report(study_folder) -> Path:
    """The report of that study: its tables, Figure 1 and a table of the paper."""
    of_study = ["--study", "nano", "--given", KEYS]
    results = Path("results/nano")
    figure, published = results / "figures/figure1", results / "tables/published"
    files = [results / f"tables/{name}.html" for name in ("table2", "table3", "table4")]
    files += [published / "table2.html", figure.with_suffix(".png")]
    with chdir(study_folder):
        assert main(["table", "table2", "--published", "--output-prefix", f"{published}/table2"]) == 0
        assert main(["figure", "figure1", *of_study, "--output-prefix", str(figure)]) == 0
        page = ["--input", *map(str, files), "--output", "results/nano/report.html"]
        assert main(["report", *of_study, *page]) == 0
    return study_folder / "results/nano/report.html"
