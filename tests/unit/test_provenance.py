"""A step records how it ran next to its outputs, not inside them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.yaml_files import CONFIG
from nanogen.files import write_json
from nanogen.records import facts, record

STUDY = {"data": {"train_images": 20, "val_images": 20}}


@pytest.fixture
def config(tmp_path) -> Path:
    """The configuration of a step that draws twenty images."""
    path = tmp_path / "stage.json"
    write_json(path, stages.data(load_study("nano", STUDY), "imagenet", "val"))
    return path


def drawn(config: Path, output: Path) -> dict:
    assert main(["make-data", "--config", str(config), "--output", str(output)]) == 0
    return json.loads(output.with_name(f"{output.name}.provenance").read_text())


def test_a_step_notes_how_it_ran(config, tmp_path):
    found = drawn(config, tmp_path / "val.h5")
    stage = json.loads(config.read_text())
    assert (found["format"], found["format_version"]) == ("nanogen.provenance", 1)
    assert found["hash"] == stage["hash"]
    assert found["configuration"] == stage
    assert found["command"] == f"nanogen make-data --config {config} --output {tmp_path / 'val.h5'}"
    digest = hashlib.sha256((tmp_path / "val.h5").read_bytes()).hexdigest()
    assert found["sha256"] == {"val.h5": digest}
    assert {"python", "nanogen", "numpy", "h5py"} <= found["versions"].keys()
    assert found["device"]
    assert found["began"].endswith("+00:00")
    assert found["usage"]["user"] > 0
    assert found["usage"]["memory"] > 10 << 20


def test_what_was_made_is_the_same_bytes_wherever_and_whenever_it_is_made(config, tmp_path):
    first, second = drawn(config, tmp_path / "a" / "val.h5"), drawn(config, tmp_path / "b" / "val.h5")
    assert first["sha256"] == second["sha256"]
    assert first["command"] != second["command"]


def test_a_folder_of_several_steps_gets_a_record_per_file(tmp_path):
    for name, hash_ in (("fid", "a"), ("is", "a"), ("geneval", "b")):
        write_json(tmp_path / f"{name}.json", {"hash": hash_})
    assert [path.name for path in record.products(tmp_path, "a")] == ["fid.json", "is.json"]


def test_a_folder_with_a_card_is_one_output(tmp_path):
    write_json(tmp_path / "nanogen.json", {"hash": "a"})
    assert record.products(tmp_path, "a") == [tmp_path]
    assert record.place(tmp_path) == tmp_path / "provenance.json"


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def said_commit(source: Path) -> str:
    code = "from nanogen.records import facts; print(facts.commit())"
    options = {
        "env": {"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin"},
        "capture_output": True,
        "text": True,
    }
    return subprocess.run([sys.executable, "-c", code], check=True, **options).stdout.strip()


def test_finding_the_commit_writes_nothing_into_the_repository(tmp_path):
    """A step that is killed meanwhile would leave the lock of the index, which blocks every commit."""
    checkout = tmp_path / "checkout"
    source = Path(facts.__file__).parents[1]
    shutil.copytree(source, checkout / "src" / "nanogen", ignore=shutil.ignore_patterns("__pycache__"))
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "first")
    for file in (checkout / "src" / "nanogen").glob("*.py"):
        os.utime(file, (0, 0))  # git would note the new times in its index
    index = checkout / ".git" / "index"
    before = index.read_bytes()
    assert said_commit(checkout / "src") == git(checkout, "rev-parse", "HEAD").strip()
    assert index.read_bytes() == before


COMMITTING = """
import subprocess, sys
from nanogen.cli import main, make_data

def run_and_commit(args, run=make_data.run):
    run(args)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "later"], check=True)

make_data.run = run_and_commit
sys.exit(main(["make-data", "--config", sys.argv[1], "--output", sys.argv[2]]))
"""


def test_the_commit_is_that_of_the_code_that_ran(config, tmp_path):
    """A commit while a step runs is not the one whose code ran."""
    checkout = tmp_path / "checkout"
    source = Path(facts.__file__).parents[1]
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, checkout / "src" / "nanogen", ignore=ignored)
    shutil.copytree(CONFIG, checkout / "config", ignore=ignored)
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "first")
    head, output = git(checkout, "rev-parse", "HEAD").strip(), tmp_path / "val.h5"
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", COMMITTING, str(config), str(output)]
    subprocess.run(command, check=True, cwd=checkout, env=environment)
    assert git(checkout, "rev-parse", "HEAD").strip() != head
    assert json.loads(record.place(output).read_text())["commit"] == head


def test_the_commit_is_that_of_the_programs_own_checkout(tmp_path):
    package = tmp_path / "src" / "nanogen"
    for name in ("__init__.py", "records/__init__.py", "records/facts.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text((Path(facts.__file__).parents[1] / name).read_text())
    assert said_commit(tmp_path / "src") == "None"
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "src")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    assert said_commit(tmp_path / "src") == head
    (package / "__init__.py").write_text('__version__ = "changed"\n')
    assert said_commit(tmp_path / "src") == f"{head}+changes"
    copy = tmp_path / "vendored" / "src" / "nanogen"
    copy.parent.mkdir(parents=True)
    package.rename(copy)
    assert said_commit(copy.parent) == "None"
