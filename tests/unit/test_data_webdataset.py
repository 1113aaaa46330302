"""Tar shards: captions and images in order, no files outside the output, damage detected."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from train_stages import train_stage

from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.stage2.batches import Batches
from nanogen.stage2.dataset import Pixels


def stage(root: Path, split: str = "train", most: int = 100, unreadable: str = "refuse") -> dict:
    data = {"name": "t2i", "source": "webdataset", "scene": "composed", "resolution": 16}
    data |= {"root": str(root), "train_images": most, "val_images": most, "unreadable": unreadable}
    data |= {"caption_template": ""}
    return {"stage": "data", "hash": "abc", "seed": 7, "split": split, "data": data}


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(path: Path, **members: bytes) -> Path:
    """Write a tar; an underscore in a keyword stands for a dot in the member's name."""
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


@pytest.mark.parametrize("source", ["webdataset", "captioned"])
@pytest.mark.parametrize(
    ("folder", "split", "says"),
    [
        ("train", "val", r"root/train exists but .*root/val does not; name the validation folder 'val'"),
        ("val", "train", r"root/val exists but .*root/train does not; name the training folder 'train'"),
    ],
)
def test_one_split_is_never_taken_from_the_folder_of_the_other(tmp_path, source, folder, split, says):
    for name in (folder, "validation"):
        (tmp_path / "root" / name).mkdir(parents=True)
        for k in range(25):
            shard(tmp_path / f"root/{name}/{k}.tar", a_png=png(k), a_txt=b"one")
            (tmp_path / f"root/{name}/{k}.png").write_bytes(png(k))
            (tmp_path / f"root/{name}/{k}.txt").write_text("one")
    made = stage(tmp_path / "root", split)
    made["data"] |= {"source": source, "caption_template": ""}
    with pytest.raises(UserError, match=says):
        write_images(made, tmp_path / "x.h5")
    write_images(made | {"split": folder}, tmp_path / "x.h5")


# ------------------------------------------------------------------- images that stay in their shards


def noise(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 23, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """60 images in three shards, and a fourth shard for validation."""
    root = tmp_path / "many"
    for k in range(4):
        members: dict[str, bytes] = {}
        for i in range(20 * k, 20 * k + 20):
            members |= {f"{i}_png": noise(i), f"{i}_txt": f"picture {i}".encode()}
        shard(root / f"{k}.tar", **members)
    return root


def both(many: Path, folder: Path) -> tuple[ImageFile, ImageFile]:
    """Image files of the same images, copied and left in their shards."""
    files = []
    for store in ("pixels", "places"):
        made = stage(many)
        made["data"]["store"] = store
        write_images(made, folder / f"{store}.h5")
        files.append(ImageFile(folder / f"{store}.h5", "abc"))
    return files[0], files[1]


def test_pictures_left_in_their_shards_are_those_that_would_be_copied(many, tmp_path):
    copied, left = both(many, tmp_path)
    assert (tmp_path / "places.h5").stat().st_size < (tmp_path / "pixels.h5").stat().st_size / 2
    assert left.images.shape == copied.images.shape == (60, 16, 16, 3)
    asked = np.random.default_rng(1).permutation(60)
    np.testing.assert_array_equal(left.images[asked], copied.images[asked])
    np.testing.assert_array_equal(left.rows()[7:31], copied.rows()[7:31])
    assert left.captions() == copied.captions()


def test_training_from_shards_draws_the_same_batches_and_resumes_within_an_epoch(many, tmp_path):
    both(many, tmp_path)
    stage = train_stage([3, 16, 16], "jit", "t2i", batch_size=16, noise_chunk=4)

    def drawn(store: str, start: int) -> list[torch.Tensor]:
        pixels = Pixels(tmp_path / f"{store}.h5", "abc")
        pixels.features = lambda rows: {}
        images = pixels.load
        pixels.load = lambda rows, draws: (images(rows), torch.from_numpy(rows))
        batches = Batches(pixels, stage).prefetched(start, 9, torch.device("cpu"))
        return [batch.x for batch in batches]

    expected = drawn("pixels", 0)
    for start in (0, 5):
        for step, x in enumerate(drawn("places", start), start):
            assert torch.equal(x, expected[step])


def test_a_shard_cut_in_half_or_gone_is_named_when_its_pictures_are_needed(many, tmp_path):
    both(many, tmp_path)
    whole = (many / "1.tar").read_bytes()
    (many / "1.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"1\.tar has \d+ bytes, not \d+: it is truncated"):
        ImageFile(tmp_path / "places.h5")
    (many / "1.tar").write_bytes(bytes(len(whole)))
    with pytest.raises(UserError, match=r"1\.tar: the image at byte \d+ can no longer be read"):
        ImageFile(tmp_path / "places.h5").images[20:22]
    (many / "1.tar").unlink()
    with pytest.raises(UserError, match=r"1\.tar, from which images are read, is missing"):
        ImageFile(tmp_path / "places.h5")


def test_only_pictures_in_shards_have_places(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        (tmp_path / split / "cat" / "a.png").write_bytes((tmp_path / "a.png").read_bytes())
    made = stage(tmp_path)
    made["data"] |= {"source": "folder", "store": "places", "caption_template": "{name}"}
    with pytest.raises(UserError, match="only images in tar shards"):
        write_images(made, tmp_path / "train.h5")


# --------------------------------------------------------------------- members packed in unusual ways


def packed(path: Path, *members: tuple[str, bytes]) -> Path:
    """Write a tar of members with these names, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def captions_of(root: Path, output: Path, **keys) -> list[tuple[int, str]]:
    """(grey level, caption) of every imported image."""
    write_images(stage(root, **keys), output)
    file = ImageFile(output)
    return list(zip(file.images[:, 0, 0, 0].tolist(), file.captions(), strict=True))


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A folder with a validation shard; the test adds the training shards."""
    packed(tmp_path / "one/val/0.tar", ("v.png", png(1)), ("v.txt", b"v"))
    return tmp_path / "one"


def test_dots_in_names_lose_no_sample(one: Path, tmp_path: Path):
    members = [(f"view.{k}.{s}", c) for k in range(5) for s, c in (("png", png(k)), ("txt", b"%d" % k))]
    packed(one / "train/0.tar", *members)
    assert captions_of(one, tmp_path / "x.h5") == [(k, str(k)) for k in range(5)]


def test_other_pictures_of_a_sample_are_not_taken_for_it(one: Path, tmp_path: Path):
    packed(
        one / "train/0.tar",
        *(("a.seg.png", png(9)), ("a.png", png(1)), ("a.txt", b"one"), ("a.json", b'{"text": "two"}')),
    )
    assert captions_of(one, tmp_path / "x.h5") == [(1, "two")]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ("a.png a.txt a.png a.txt b.png b.txt", r"0\.tar/a: it contains a\.png twice"),
        ("a.png a.jpg a.txt b.png b.txt", r"0\.tar/a: it has 2 images: a\.png, a\.jpg"),
        ("a.png b.png a.txt b.txt", r"'a' are not consecutive.*--sort=name"),
        ("a.png a.txt b.png b.txt a.png a.txt", r"'a' are not consecutive, or two samples have"),
    ],
)
def test_members_that_would_overwrite_each_other_are_named(one: Path, tmp_path: Path, members, says):
    content = {".png": png(5), ".jpg": png(6), ".txt": b"x"}
    packed(one / "train/0.tar", *((name, content[name[1:]]) for name in members.split()))
    with pytest.raises(UserError, match=says):
        captions_of(one, tmp_path / "x.h5")


def test_shards_of_equal_names_are_not_confused(tmp_path: Path):
    for place, level in (("a", 10), ("b", 20), ("c", 30)):
        packed(tmp_path / f"three/{place}/0.tar", ("x.png", png(level)), ("x.txt", place.encode()))
    packed(tmp_path / "three/a/0.tar", ("x.png", b"broken"), ("x.txt", b"a"))
    with pytest.raises(UserError, match=r"a/0\.tar/x: "):
        captions_of(tmp_path / "three", tmp_path / "x.h5")
    assert captions_of(tmp_path / "three", tmp_path / "x.h5", unreadable="skip") == [(20, "b")]


def test_hidden_members_and_shards_are_passed_over(one: Path, tmp_path: Path):
    packed(
        one / "train/0.tar",
        *(("__MACOSX/._a.png", b"x"), (".ipynb_checkpoints/a.png", png(3)), ("./a.png", png(1))),
        ("./a.txt", b"one"),
    )
    (one / "train/._0.tar").write_bytes(b"x")
    assert captions_of(one, tmp_path / "x.h5") == [(1, "one")]


def test_shards_lie_at_any_depth_and_links_that_lead_nowhere_are_named(one: Path, tmp_path: Path):
    packed(one / "train/0.tar", ("a.png", png(1)), ("a.txt", b"one"))
    packed(one / "train/more/0.tar", ("a.png", png(2)), ("a.txt", b"two"))
    assert captions_of(one, tmp_path / "x.h5") == [(1, "one"), (2, "two")]
    (one / "train/1.tar").symlink_to("/gone/1.tar")
    with pytest.raises(UserError, match=r"1\.tar is a link that leads nowhere"):
        captions_of(one, tmp_path / "x.h5")


def test_links_inside_a_shard_are_named(one: Path, tmp_path: Path):
    packed(one / "train/0.tar", ("a.png", png(1)), ("a.txt", b"one"))
    with tarfile.open(one / "train/0.tar", "a") as tar:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a.png"
        tar.addfile(link)
        text = tarfile.TarInfo("b.txt")
        tar.addfile(text, io.BytesIO(b""))
    with pytest.raises(UserError, match=r"0\.tar/b: b\.png is a link; pack with"):
        captions_of(one, tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("name", "caption", "says"),
    [
        ("b.json", rb'{"caption": "red\u0000 square"}', "holds a NUL character"),
        ("b.json", rb'{"caption": "red\ud800 square"}', "holds a character that is not Unicode text"),
        ("b.txt", b"red\0 square", "holds a NUL character"),
        ("b.txt", b"gr\xfcn", "not UTF-8 text"),
        ("b.txt", "red".encode("utf-16"), "it is in UTF-16"),
        ("b.json", b'{"caption": "a", "caption": "b"}', "'caption' appears twice"),
        ("b.json", b'["a"]', "not an object"),
        ("b.txt", b" \n", "caption is empty"),
        ("b.json", b'{"caption": " \\n"}', "caption is empty"),
        ("b.json", b'{"caption": "a", "key": 1' + b"0" * 5000 + b"}", "not valid JSON .*digits"),
    ],
)
def test_captions_that_cannot_be_stored_are_named_or_left_out(one, tmp_path, name, caption, says):
    packed(one / "train/0.tar", ("a.png", png(1)), ("a.txt", b"one"), ("b.png", png(2)), (name, caption))
    with pytest.raises(UserError, match=rf"1 files .*(?s:.*)0\.tar/b: .*{says}"):
        captions_of(one, tmp_path / "x.h5")
    assert captions_of(one, tmp_path / "x.h5", unreadable="skip") == [(1, "one")]


def test_a_byte_order_mark_is_no_part_of_a_caption(one: Path, tmp_path: Path):
    packed(
        one / "train/0.tar",
        *(("a.png", png(1)), ("a.txt", b"\xef\xbb\xbfa red square\n")),
        *(("b.png", png(2)), ("b.json", b'\xef\xbb\xbf{"caption": "blue"}')),
    )
    assert captions_of(one, tmp_path / "x.h5") == [(1, "a red square"), (2, "blue")]
