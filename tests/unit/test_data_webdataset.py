"""Tar shards: captions and images in order, nothing written to disk, damage noticed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from nanogen.data.images import ImageFile, write_images
from nanogen.errors import UserError


def stage(root: Path, split: str = "train", most: int = 100, unreadable: str = "refuse") -> dict:
    data = {"name": "t2i", "source": "webdataset", "resolution": 16, "root": str(root)}
    data |= {"train_images": most, "val_images": most, "unreadable": unreadable}
    return {"stage": "data", "hash": "abc", "seed": 7, "split": split, "data": data}


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(path: Path, **members: bytes) -> Path:
    """A tar whose members' dots are written as underscores in the keyword."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "../").replace("_", "."))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "shards"
    captions = json.dumps({"short": "one", "dense": "one thing"}).encode()
    shard(root / "0.tar", a_png=png(10), a_txt=b"ten\n", b_json=captions, b_png=png(20))
    shard(root / "1.tar", a_png=png(30), a_txt="dreißig".encode())
    shard(root / "2.tar", v_png=png(40), v_txt=b"forty")
    return root


def test_pairs_become_images_and_captions_in_order(root: Path, tmp_path: Path):
    write_images(stage(root), tmp_path / "train.h5")
    file = ImageFile(tmp_path / "train.h5", "abc")
    assert file.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert file.captions() == ["ten", "one", "dreißig"]
    assert file.captions("dense") == ["ten", "one thing", "dreißig"]
    write_images(stage(root, "val"), tmp_path / "val.h5")
    assert ImageFile(tmp_path / "val.h5").captions() == ["forty"]
    write_images(stage(root, most=2), tmp_path / "few.h5")
    assert len(ImageFile(tmp_path / "few.h5")) == 2


def test_a_truncated_shard_is_refused_wherever_it_is_cut(root: Path, tmp_path: Path):
    whole = (root / "0.tar").read_bytes()
    with tarfile.open(root / "0.tar") as tar:
        last = tar.getmembers()[-1]
    for end in (100, last.offset + 100, last.offset, last.offset_data + 10):
        (root / "0.tar").write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"0\.tar is (truncated|not a readable)"):
            write_images(stage(root), tmp_path / "train.h5")
    assert not (tmp_path / "train.h5").exists()


def test_names_that_leave_the_archive_are_refused(root: Path, tmp_path: Path):
    shard(root / "0.tar", __evil_png=png(1), __evil_txt=b"x")
    with pytest.raises(UserError, match=r"refused.*\.\./evil\.png"):
        write_images(stage(root), tmp_path / "train.h5")


def test_broken_samples_are_named_and_refused_or_skipped(root: Path, tmp_path: Path):
    shard(root / "1.tar", a_png=b"no picture", a_txt=b"x", b_png=png(50), c_png=png(60), c_txt=b"c")
    with pytest.raises(UserError, match=r"2 files .*(?s:.*)1\.tar/a.*(?s:.*)1\.tar/b: it has no cap"):
        write_images(stage(root), tmp_path / "train.h5")
    write_images(stage(root, unreadable="skip"), tmp_path / "train.h5")
    assert ImageFile(tmp_path / "train.h5").captions() == ["ten", "one", "c"]


def test_a_missing_folder_or_split_is_named(root: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"no folder .*absent"):
        write_images(stage(tmp_path / "absent"), tmp_path / "x.h5")
    (root / "1.tar").unlink()
    (root / "2.tar").unlink()
    with pytest.raises(UserError, match="single shard"):
        write_images(stage(root), tmp_path / "x.h5")
