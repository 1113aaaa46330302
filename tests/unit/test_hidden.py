"""Temporary files of a killed process are removed by the next process that writes the same file and by
the next run; those of a running process are kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killed import IMPORTS, SOURCE, killed, left_by_killed

from nanogen.files import atomic_folder, remove_folder, scratch_folder, write_text
from nanogen.hidden import ABANDONED, remove_left_over

WRITER = f"""{IMPORTS}
with files.atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("slowly")
    print(temporary, flush=True)
    input()
"""


@pytest.fixture
def writer(tmp_path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Another process that is writing a.txt, and the path of its temporary file."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "a.txt")],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_the_next_to_write_the_same_removes_what_a_killed_one_left(tmp_path):
    left = left_by_killed(tmp_path / "a.txt")
    of_another = left_by_killed(tmp_path / "b.txt")
    write_text(tmp_path / "a.txt", "whole")
    assert not left.exists()
    assert of_another.exists()
    remove_left_over(tmp_path.parent)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_name_with_signs_that_patterns_have_is_that_name_only(tmp_path):
    left = [left_by_killed(tmp_path / name) for name in ("a[1].txt", "a1.txt")]
    write_text(tmp_path / "a[1].txt", "whole")
    assert [folder.exists() for folder in left] == [False, True]


def test_what_a_running_process_writes_is_left_alone(writer, tmp_path):
    process, temporary = writer
    os.utime(temporary.parent, (0, 0))
    os.utime(temporary, (0, 0))
    write_text(tmp_path / "a.txt", "first")
    remove_left_over(tmp_path)
    assert temporary.read_text() == "slowly"
    process.communicate("\n")
    assert (tmp_path / "a.txt").read_text() == "slowly"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_killed_process_that_nobody_has_waited_for_has_ended(writer, tmp_path):
    process, temporary = writer
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, which is still listed
    remove_left_over(tmp_path)
    assert not temporary.exists()


def renamed(left: Path, host: str | None = None, process: int | None = None) -> Path:
    """Rename the folder as if it belonged to another machine or process."""
    start, _, owner = left.name.rpartition(".tmp-")
    words = owner.split("-")
    words[:2] = host or words[0], str(process or words[1])
    return left.rename(left.with_name(f"{start}.tmp-{'-'.join(words)}"))


def test_a_process_that_has_the_number_of_a_killed_one_is_another(tmp_path):
    left = renamed(left_by_killed(tmp_path / "a.txt"), process=os.getpid())
    remove_left_over(tmp_path)
    assert not left.exists()


def test_another_machines_are_left_alone_until_nothing_was_written_for_a_day(tmp_path):
    left = renamed(left_by_killed(tmp_path / "a.txt"), host="0123abcd")
    old = time.time() - ABANDONED - 60
    for path in (left, left / "a.txt"):
        write_text(tmp_path / "a.txt", "whole")
        remove_left_over(tmp_path)
        assert left.exists()
        os.utime(path, (old, old))
    remove_left_over(tmp_path)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_files_of_an_earlier_version_go_by_their_age_and_others_stay(tmp_path):
    folder = tmp_path / "models" / "vae"
    folder.mkdir(parents=True)
    for name in (".a.h5.tmp-123", "a.tmp-123", ".hidden", "a.h5"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    remove_left_over(tmp_path)
    assert sorted(os.listdir(folder)) == [".hidden", "a.h5", "a.tmp-123"]


DIE_REMOVING = """
def die(folder, *_, **__):
    next(path for path in Path(folder).rglob('*') if path.is_file()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)
shutil.rmtree = die
"""


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("card", "weights"):
        (folder / name).write_text("old")
    return folder


def test_a_folder_is_never_there_in_part_also_while_another_replaces_it(model, tmp_path):
    write = "with files.atomic_folder(path) as made:\n    (made / 'card').write_text('new')"
    killed(DIE_REMOVING + write, model)
    assert not model.exists()
    with atomic_folder(model) as made:
        (made / "card").write_text("newer")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(model) == ["card"]


def test_a_removed_folder_is_gone_at_once(model, tmp_path):
    killed(DIE_REMOVING + "files.remove_folder(path)", model)
    assert not model.exists()
    remove_left_over(tmp_path)
    assert not os.listdir(tmp_path)
    remove_folder(model)  # it does not exist, so nothing happens


def test_scratch_of_a_killed_process_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = left_by_killed(tmp_path / "nanogen")
    with scratch_folder() as folder:
        assert not left.exists()
        assert os.listdir(tmp_path) == [folder.name]
    assert not os.listdir(tmp_path)
