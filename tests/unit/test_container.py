"""Both container definitions run `make setup`; they are built if a container engine is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER, APPTAINER = ROOT / "container/Dockerfile", ROOT / "container/nanogen.def"


def docker() -> list[tuple[str, str]]:
    """(instruction, arguments) of each line of the Dockerfile, with continued lines joined."""
    lines = [line for line in DOCKER.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line]


def apptainer() -> dict[str, list[str]]:
    """Lines of the Apptainer definition by section; the header's section is named ``""``."""
    sections: dict[str, list[str]] = {"": []}
    name = ""
    for line in APPTAINER.read_text().splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            sections[name] = []
        elif line.strip() and not line.startswith("#"):
            sections[name].append(line.strip())
    return sections


def placed(names: list[str], folder: Path) -> None:
    """Copy these files and folders of the repository into a new folder."""
    folder.mkdir()
    for name in names:
        source = ROOT / name
        skipped = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        else:
            shutil.copy(source, folder)


def copied(before: str = "") -> list[str]:
    """Sources that the Dockerfile copies, up to an instruction that starts with ``before``."""
    found: list[str] = []
    for instruction, arguments in docker():
        if before and f"{instruction} {arguments}".startswith(before):
            break
        if instruction == "COPY":
            found += arguments.split()[:-1]
    return found


def test_both_run_the_makefiles_setup_from_the_lock():
    runs = [arguments for instruction, arguments in docker() if instruction == "RUN"]
    assert runs[-1] == "make setup"
    post = apptainer()["post"]
    assert post[-2:] == ["cd /opt/nanogen", "make setup"]
    # both prepare the system with the same commands
    assert [part.strip() for part in runs[0].split("&&")] == post[:-2]
    makefile = (ROOT / "Makefile").read_text()
    assert "--require-hashes -r requirements.txt" in makefile


def test_both_start_from_the_python_that_the_project_is_tested_with():
    (base,) = [arguments for instruction, arguments in docker() if instruction == "FROM"]
    assert apptainer()[""] == ["Bootstrap: docker", f"From: {base}"]
    version = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", base)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={version}"
    env = yaml.safe_load((ROOT / "envs/train.yaml").read_text())["dependencies"]
    assert any(str(entry).startswith(f"python={version}") for entry in env)


def test_setup_finds_its_files_and_would_install_them(tmp_path):
    image = tmp_path / "image"
    placed(copied(before="RUN make setup"), image)
    done = subprocess.run(["make", "-n", "setup"], cwd=image, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for step in ("-m venv .venv", "--require-hashes -r requirements.txt", "--no-build-isolation -e ."):
        assert step in done.stdout
    named = re.findall(r'(?:readme|license-files) = \[?"([^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert {*named, "setup.py"} <= {path.name for path in image.iterdir()}


@pytest.mark.slow
def test_both_hold_the_same_files_and_the_graph_can_be_planned_with_them(tmp_path):
    files = [line.split() for line in apptainer()["files"]]
    assert all(target == f"/opt/nanogen/{source}" for source, target in files)
    assert [source for source, _ in files] == copied()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert all(f"!{name}" in ignored for name in copied())
    assert not any(
        fnmatch(name, f"!{kept}") for name in (".venv", "results", ".git") for kept in ignored
    )
    placed(copied(), tmp_path / "image")
    work = tmp_path / "work"
    work.mkdir()
    command = ["snakemake", "-n", "--snakefile", str(tmp_path / "image/Snakefile")]
    done = subprocess.run(
        [*command, "all", "--config", "study=smoke"], cwd=work, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "train " in done.stdout


def _engine(*command: str) -> bool:
    """Whether a container engine is installed and responds."""
    return (
        bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True).returncode == 0
    )


@pytest.mark.slow
def test_docker_builds_the_image():
    if not _engine("docker", "info"):
        pytest.skip("there is no Docker daemon to build container/Dockerfile with")
    tag = "nanogen-test"
    build = ["docker", "build", "--quiet", "-f", str(DOCKER), "-t", tag, str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    run = ["docker", "run", "--rm", tag, "nanogen", "--version"]
    assert subprocess.run(run, capture_output=True, text=True).stdout.startswith("nanogen ")


@pytest.mark.slow
def test_apptainer_builds_the_image(tmp_path):
    if not _engine("apptainer", "version"):
        pytest.skip("Apptainer is not installed, so container/nanogen.def is not built")
    image = tmp_path / "nanogen.sif"
    build = ["apptainer", "build", str(image), str(APPTAINER)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    run = ["apptainer", "exec", str(image), "nanogen", "--version"]
    assert subprocess.run(run, capture_output=True, text=True).stdout.startswith("nanogen ")
