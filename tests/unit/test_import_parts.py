"""Imports in parts: finished parts are kept, whichever process wrote them; errors name the shard."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from nanogen.data import part_workers
from nanogen.data.image_import import write_images, write_share
from nanogen.data.images import LEFT_OUT, ImageFile
from nanogen.data.stage import DataStage
from nanogen.data.webdataset import Shards
from nanogen.errors import UserError

PICTURES = 12  # per shard


def stage(root: Path, source: str = "webdataset", most: int = 1000, **keys) -> dict:
    data = {"name": "t2i", "source": source, "scene": "single", "resolution": 16, "root": str(root)}
    data |= {"train_images": most, "val_images": most, "unreadable": "refuse", "store": "auto"}
    data |= {"caption_template": "a {name}", **keys}
    return {"stage": "data", "hash": "abc", "seed": 7, "split": "train", "data": data}


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 23, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def packed(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def members(shard: int, count: int = PICTURES) -> dict[str, bytes]:
    names = range(count * shard, count * shard + count)
    return {f"{i}.{s}": c for i in names for s, c in (("png", png(i)), ("txt", b"picture %d" % i))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with eight training shards and one validation shard."""
    for k in range(8):
        packed(tmp_path / f"root/train/{k}.tar", members(k))
    packed(tmp_path / "root/val/0.tar", members(8))
    return tmp_path / "root"


@pytest.fixture
def expected(root: Path, tmp_path: Path) -> Callable[..., bytes]:
    """A function that returns the bytes of an uninterrupted import by one process."""

    def made(**keys) -> bytes:
        write_images(stage(root, **keys), tmp_path / "expected.h5")
        return (tmp_path / "expected.h5").read_bytes()

    return made


def times(parts: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in parts.glob("*.h5")}


@pytest.mark.parametrize("store", ["places", "pixels"])
def test_several_processes_give_the_bytes_of_one(root, tmp_path, expected, store):
    whole = expected(store=store)
    write_images(stage(root, store=store), tmp_path / "x.h5", workers=3)
    assert (tmp_path / "x.h5").read_bytes() == whole
    assert not (tmp_path / ".x.h5.parts").exists()


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by Linux's /proc")
@pytest.mark.parametrize("wanted", [1, 5])
def test_a_killed_import_continues_to_the_same_bytes_and_leaves_no_process(
    root, tmp_path, expected, wanted
):
    for k in range(8):  # large enough to be killed midway
        packed(root / f"train/{k}.tar", members(k, 150))
    (tmp_path / "stage.json").write_text(json.dumps(stage(root)))
    command = [sys.executable, "-m", "nanogen", "make-data", "--config", str(tmp_path / "stage.json")]
    command += ["--output", str(tmp_path / "x.h5"), "--parts", str(tmp_path / "parts"), "--workers", "2"]
    with subprocess.Popen(command) as process:
        while len(times(tmp_path / "parts")) < wanted and process.poll() is None:
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    finished = times(tmp_path / "parts")
    assert len(finished) >= wanted
    assert not (tmp_path / "x.h5").exists()
    until = time.monotonic() + 20
    while any(map(alive, map(int, children))) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, map(int, children)))
    shards = Shards(DataStage.from_json(stage(root))).parts()
    part_workers.finished(shards, tmp_path / "parts", None, 10_000, 1)
    assert finished.items() <= times(tmp_path / "parts").items()  # none was written again
    assert subprocess.run(command).returncode == 0
    assert (tmp_path / "x.h5").read_bytes() == expected()


def test_jobs_of_their_own_import_a_share_each(root, tmp_path, expected):
    whole = expected()
    for number in (2, 1, 3):
        write_share(stage(root), tmp_path / "parts", number, 3)
    finished = times(tmp_path / "parts")
    assert len(finished) == 8
    with pytest.raises(UserError, match="drawn by one job"):
        write_share(stage(root, "scenes"), tmp_path / "parts", 1, 3)
    (root / "train/3.tar").rename(tmp_path / "3.tar")
    with pytest.raises(UserError, match="has changed since"):
        write_images({**stage(root), "content": "0" * 16}, tmp_path / "x.h5", tmp_path / "parts")
    (tmp_path / "3.tar").rename(root / "train/3.tar")
    write_images(stage(root), tmp_path / "x.h5", tmp_path / "parts")
    assert (tmp_path / "x.h5").read_bytes() == whole


def test_a_shard_that_vanishes_is_named_and_loses_none_of_the_others(root, tmp_path, expected):
    whole = expected()
    shards = Shards(DataStage.from_json(stage(root))).parts()
    kept = (root / "train/5.tar").read_bytes()
    changed = (root / "train/5.tar").stat().st_mtime_ns
    (root / "train/5.tar").unlink()
    for workers in (1, 2):
        with pytest.raises(UserError, match=r"5\.tar .*does not exist"):
            part_workers.finished(shards, tmp_path / "parts", None, 1000, workers)
    finished = times(tmp_path / "parts")
    assert len(finished) >= 5
    (root / "train/5.tar").write_bytes(kept)
    assert (root / "train/5.tar").stat().st_mtime_ns != changed
    write_images(stage(root), tmp_path / "x.h5", tmp_path / "parts")
    assert (tmp_path / "x.h5").read_bytes() == whole


def test_only_a_shard_that_changed_is_imported_again(root, tmp_path):
    shards = Shards(DataStage.from_json(stage(root))).parts()
    found = part_workers.finished(shards, tmp_path / "parts", None, 1000, 1)
    before = times(tmp_path / "parts")
    packed(root / "train/2.tar", members(20))
    part_workers.finished(shards, tmp_path / "parts", None, 1000, 1)
    after = times(tmp_path / "parts")
    assert {name for name in before if before[name] != after[name]} == {found[2].path.name}


def test_unreadable_pictures_are_listed_and_left_out_without_importing_again(root, tmp_path, caplog):
    broken = members(1) | {"13.png": b"no picture", "15.txt": b"gr\xfcn", "17.txt": b" "}
    packed(root / "train/1.tar", broken)
    packed(root / "train/6.tar", {f"{i}.{s}": b"no" for i in range(30) for s in ("png", "txt")})
    said = r"33 files under.*(?s:.*)1\.tar/13: cannot identify image file\n(?s:.*)and 13 more"
    with pytest.raises(UserError, match=said) as raised:
        write_images(stage(root), tmp_path / "x.h5", tmp_path / "parts", workers=2)
    listing = (tmp_path / "x.unreadable.txt").read_text().splitlines()
    assert str(tmp_path / "x.unreadable.txt") in str(raised.value)
    assert len(listing) == 33
    names = [line.partition(": ")[0] for line in listing]
    assert names[:3] == [f"train/1.tar/{i}" for i in (13, 15, 17)]
    assert "not UTF-8 text" in listing[1]
    assert "its caption is empty" in listing[2]
    finished = times(tmp_path / "parts")
    assert len(finished) == 8
    with pytest.raises(UserError, match="3 files under"):  # a separate job finds them finished, too
        write_share(stage(root), tmp_path / "parts", 2, 3)
    skipped = write_share(stage(root, unreadable="skip"), tmp_path / "parts", 1, 1)
    assert times(tmp_path / "parts") == finished
    assert [part.rows for part in skipped] == [12, 9, 12, 12, 12, 12, 0, 12]
    write_images(stage(root, unreadable="skip"), tmp_path / "x.h5", tmp_path / "parts")
    file = ImageFile(tmp_path / "x.h5", "abc")
    assert len(file) == 81
    assert file.captions()[-1] == "picture 95"
    assert file.images[[20, 80]].tolist() == [_cropped(23).tolist(), _cropped(95).tolist()]


def _cropped(seed: int) -> np.ndarray:
    from nanogen.data.crop import load

    return load(io.BytesIO(png(seed)), 16)


def test_what_lies_behind_the_last_image_that_is_asked_for_is_no_matter(root, tmp_path):
    packed(root / "train/1.tar", members(1) | {"15.png": b"no picture"})
    (root / "train/7.tar").write_bytes(b"no tar")
    write_images(stage(root, most=15), tmp_path / "x.h5")
    assert ImageFile(tmp_path / "x.h5").captions()[-1] == "picture 14"
    with pytest.raises(UserError, match=r"1 files under.*(?s:.*)1\.tar/15"):
        write_images(stage(root, most=16), tmp_path / "y.h5")
    write_images(stage(root, most=16, unreadable="skip"), tmp_path / "y.h5")
    assert ImageFile(tmp_path / "y.h5").captions()[-1] == "picture 16"


def test_others_take_the_place_of_unreadable_photographs(tmp_path):
    for k in range(8):
        for name in ("cat", "dog"):
            path = tmp_path / f"root/train/{name}/{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(k))
    (tmp_path / "root/train/cat/1.png").write_bytes(b"no picture")
    write_images(stage(tmp_path / "root", "folder", 6, unreadable="skip"), tmp_path / "x.h5")
    (tmp_path / "root/train/cat/1.png").unlink()
    write_images(stage(tmp_path / "root", "folder", 6, unreadable="skip"), tmp_path / "y.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:  # the only difference between the files
        assert file.attrs.pop(LEFT_OUT) == 1
    with h5py.File(tmp_path / "x.h5") as one, h5py.File(tmp_path / "y.h5") as other:
        assert dict(one.attrs) == dict(other.attrs)
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert ImageFile(tmp_path / "x.h5").labels.tolist() == [0] * 3 + [1] * 3


@pytest.mark.slow
def test_more_shards_than_a_header_holds(tmp_path):
    deep = tmp_path / "root" / "train" / ("x" * 200)
    for k in range(300):
        packed(deep / f"{k:03d}.tar", {"a.png": png(k % 3), "a.txt": b"%d" % k})
    write_images(stage(tmp_path / "root"), tmp_path / "x.h5")
    file = ImageFile(tmp_path / "x.h5")
    assert len(file.images.shards) == 300
    assert (file.images[[299]] == _cropped(299 % 3)).all()
