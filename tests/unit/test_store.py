"""A store: entries are written once, found by hash and shared; incomplete ones are never read."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest
from PIL import Image

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import atomic_folder, write_json, write_text
from nanogen.store import Entry, provide

FILE, FOLDER = Entry("latents", "abc", ".h5"), Entry("networks", "abc")


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """An empty store, named by NANOGEN_STORE."""
    monkeypatch.setenv("NANOGEN_STORE", str(tmp_path / "own"))
    return tmp_path / "own"


def writes(text: str, made: list[Path] | None = None):
    """Return a function that writes an entry (a file, or a folder with one) and notes its calls."""

    def make(path: Path) -> None:
        if made is not None:
            made.append(path)
        if path.suffix:
            write_text(path, text)
        else:
            with atomic_folder(path) as folder:
                (folder / "part").mkdir(mode=0o700)
                write_text(folder / "part/weights", text)

    return make


def never(path: Path) -> None:
    raise AssertionError(f"{path} is made though it is there")


def test_a_second_study_reads_what_the_first_one_made(own, tmp_path):
    for entry, inside in ((FILE, "x.h5"), (FOLDER, "x/part/weights")):
        provide(entry, tmp_path / "one" / inside.partition("/")[0], writes("content"))
        provide(entry, tmp_path / "two" / inside.partition("/")[0], never)
        for study in ("one", "two"):
            path = tmp_path / study / inside
            assert path.read_text() == "content"
            assert own in path.resolve().parents


def test_a_command_makes_its_output_in_the_store_with_its_record(own, tiny, tmp_path, caplog):
    write_json(tmp_path / "data.json", stages.data(tiny(), "imagenet", "val"))
    command = ["make-data", "--config", str(tmp_path / "data.json"), "--output"]
    for study in ("one", "two"):
        assert main([*command, str(tmp_path / study / "val.h5")]) == 0
        assert len(ImageFile(tmp_path / study / "val.h5")) > 0
        assert (tmp_path / study / "val.h5.provenance").is_file()
    assert len(list(own.rglob("*.h5"))) == 1
    assert os.path.samefile(tmp_path / "one/val.h5", tmp_path / "two/val.h5")


def test_a_colleagues_store_is_read_and_ones_own_is_written(own, tmp_path, monkeypatch):
    provide(FILE, tmp_path / "theirs.h5", writes("theirs"))
    before = sorted(own.rglob("*"))
    monkeypatch.setenv("NANOGEN_STORE", f"{tmp_path / 'mine'}:{own}")
    provide(FILE, tmp_path / "mine.h5", never)
    provide(FOLDER, tmp_path / "network", writes("mine"))
    assert (tmp_path / "mine.h5").read_text() == "theirs"
    assert tmp_path / "mine" in (tmp_path / "network/part/weights").resolve().parents
    assert sorted(own.rglob("*")) == before


def test_a_store_that_cannot_be_written_is_named(own, tmp_path):
    own.write_text("no folder")
    with pytest.raises(UserError, match=r"the store .*own cannot be written .*NANOGEN_STORE=MINE:"):
        provide(FILE, tmp_path / "x.h5", never)


@pytest.mark.parametrize("entry", [FILE, FOLDER])
def test_what_was_changed_or_is_not_whole_is_made_again(own, tmp_path, entry):
    output = tmp_path / f"x{entry.suffix}"

    def fails(path: Path) -> None:
        writes("half")(path)
        raise UserError("the disk is full")

    with pytest.raises(UserError, match="the disk is full"):
        provide(entry, output, fails)
    assert not output.exists()
    provide(entry, output, writes("whole"))
    file = output if entry.suffix else output / "part/weights"
    file.write_text("other")
    if entry.suffix:
        os.utime(file, (0, 0))
    else:
        file.resolve().unlink()
    provide(entry, output, writes("again"))
    assert file.read_text() == "again"


def test_two_that_need_the_same_make_it_once(own, tmp_path, caplog):
    caplog.set_level("INFO")
    began, made = threading.Event(), []

    def slowly(path: Path) -> None:
        began.set()
        while "waiting for it" not in caplog.text:
            pass
        writes("content", made)(path)

    first = threading.Thread(target=provide, args=(FILE, tmp_path / "one.h5", slowly))
    first.start()
    began.wait()
    provide(FILE, tmp_path / "two.h5", never)
    first.join()
    assert len(made) == 1
    assert "is being made by another process; waiting for it" in caplog.text
    assert (tmp_path / "two.h5").read_text() == "content"


def test_a_group_may_read_what_the_umask_allows(own, tmp_path):
    def private(path: Path) -> None:
        writes("content")(path)
        (path / "part/weights").chmod(0o600)

    before = os.umask(0o027)
    try:
        provide(FOLDER, tmp_path / "network", private)
    finally:
        os.umask(before)
    file = (tmp_path / "network/part/weights").resolve()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o640, 0o750)


def test_a_relative_store_is_linked_relatively_so_that_both_move_together(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("NANOGEN_STORE", "results/store")
    provide(FILE, Path("results/nano/x.h5"), writes("content"))
    provide(FOLDER, Path("results/nano/network"), writes("content"))
    (tmp_path / "project").rename(tmp_path / "moved")
    for name in ("x.h5", "network/part/weights"):
        assert (tmp_path / "moved/results/nano" / name).read_text() == "content"


def test_a_relative_store_is_found_where_the_results_are_a_link(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "disk/of/results").mkdir(parents=True)
    (tmp_path / "project/results").symlink_to(tmp_path / "disk/of/results")
    monkeypatch.chdir(tmp_path / "project")
    for place in ("store", "results/store"):
        monkeypatch.setenv("NANOGEN_STORE", place)
        provide(FILE, Path("results/nano/x.h5"), writes("content"))
        provide(FOLDER, Path("results/nano/network"), writes("content"))
        for name in ("x.h5", "network/part/weights"):
            assert Path("results/nano", name).read_text() == "content"


def test_jobs_that_share_an_import_do_nothing_if_the_store_has_its_result(own, tmp_path, caplog):
    """The image file of downloaded tar shards refers to them, and is in the store under another name."""
    root = tmp_path / "downloads"
    for k in range(2):
        root.mkdir(exist_ok=True)
        with tarfile.open(root / f"{k}.tar", "w") as tar:
            for name, content in (("a.png", png()), ("a.txt", b"a caption")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    data = {"source": "webdataset", "store": "auto", "train_images": 9, "hub": ["owner/name"]}
    study = load_study("nano", {"overrides": {"tasks": {"t2i": {"data": data}}}})
    write_json(tmp_path / "data.json", stages.data(study, "t2i", "train"))
    command = ["make-data", "--config", str(tmp_path / "data.json"), "--root", str(root)]
    assert main([*command, "--output", str(tmp_path / "train.h5")]) == 0
    assert len(ImageFile(tmp_path / "train.h5")) == 1
    share = [*command, "--shard", "1-of-1", "--parts", str(tmp_path / "parts")]
    assert main([*share, "--output", str(tmp_path / "1-of-1.json")]) == 0
    assert not (tmp_path / "parts").exists()


def test_shares_of_an_import_into_a_store_are_joined_without_importing_again(own, tmp_path):
    root = tmp_path / "root"
    for name in ("train/0.tar", "train/1.tar", "val/0.tar"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(root / name, "w") as tar:
            for member, content in (("a.png", png()), ("a.txt", b"a caption")):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    data = {"source": "webdataset", "root": str(root), "train_images": 9, "store": "pixels"}
    study = load_study("nano", {"overrides": {"tasks": {"t2i": {"data": data}}}})
    stage = stages.data(study, "t2i", "train")
    del stage["content"]  # the shards are changed below
    write_json(tmp_path / "data.json", stage)
    command = ["make-data", "--config", str(tmp_path / "data.json"), "--output"]
    for share in ("1-of-2", "2-of-2"):
        given = ["--shard", share, "--parts", str(tmp_path / "study/.train.h5.parts")]
        assert main([*command, str(tmp_path / f"study/train/{share}.json"), *given]) == 0
    for shard in (root / "train").iterdir():  # an import would fail, but for nothing it seems changed
        about = shard.stat()
        shard.write_bytes(bytes(about.st_size))
        os.utime(shard, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert main([*command, str(tmp_path / "study/train.h5")]) == 0
    assert len(ImageFile(tmp_path / "study/train.h5")) == 2
    assert not list(tmp_path.rglob("*.parts"))


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(content, "png")
    return content.getvalue()
