"""The package as `pip` installs it: a wheel, installed into an empty folder and run elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import networks
import numpy as np
import pytest
from test_envs import packages_behind
from test_repository import normalised

from nanogen.config import load_study

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "src", "config")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the installed package."""
    pytest.importorskip("setuptools")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for name in BUILT_FROM:
        at = ROOT / name
        skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(at, source / name, ignore=skipped) if at.is_dir() else shutil.copy(at, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run([*pip, *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def nanogen(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "nanogen", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_images_are_scored_without_a_checkout(installed, tmp_path):
    study = load_study("nano", {"models": {"inception": {"source": "random"}}})
    networks.write_random(study, ("inception",), tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 120, 32, 32, 3), np.uint8)
    for name, some in zip(("mine", "real"), images, strict=True):
        np.savez(tmp_path / f"{name}.npz", some)
    words = ["--images", "mine.npz", "--reference", "real.npz", "--extractor", "inception=inception"]
    done = nanogen(installed, tmp_path, "score", *words, "--metrics", "fid,is", "--output", "s.json")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "s.json").read_text())["scores"]
    assert scores["fid"]["values"]["fid"] > 0
    assert not (installed.parent / "config").exists()


@pytest.mark.slow
def test_the_configuration_is_the_checkouts(installed, tmp_path):
    words = ("config", "--study", "nano", "--method", "jit", "--task", "t2i")
    done = nanogen(installed, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    here = subprocess.run(
        [sys.executable, "-m", "nanogen", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == here.stdout


def test_the_extra_for_scoring_has_all_that_scoring_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [*project["dependencies"], *project["optional-dependencies"]["score"]]
    for command in ("score", "score-t2i"):
        assert packages_behind(command) - {normalised(name) for name in extra} == set()
    for command in ("config", "table", "figure", "correlate"):
        assert packages_behind(command) - {normalised(name) for name in project["dependencies"]} == set()
