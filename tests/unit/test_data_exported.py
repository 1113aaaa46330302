"""Parquet and Arrow exports give the same images as a folder, and damage is reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import ipc, parquet

from nanogen.config import load_run, load_study
from nanogen.data.content import content_hash
from nanogen.data.exported_tables import class_names
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError

NAMES = ["cat", "owl"]


def stage(root: Path, split: str = "train", most: int = 100, unreadable: str = "refuse") -> dict:
    data = {"name": "imagenet", "source": "folder", "scene": "single", "resolution": 16}
    data |= {"root": str(root), "train_images": most, "val_images": most, "unreadable": unreadable}
    data |= {"caption_template": "a photo of a {name}"}
    return {"stage": "data", "hash": "abc", "seed": 7, "split": split, "data": data}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of noise images, 70 per class; noise, so that a swap of two images shows."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        for split, count in (("train", 70), ("val", 3)):
            (tmp_path / "folder" / split / name).mkdir(parents=True)
            for k in range(count):
                image = Image.fromarray(rng.integers(0, 256, (17, 20, 3), np.uint8))
                image.save(tmp_path / "folder" / split / name / f"{k:02}.png")
    return tmp_path / "folder"


def table(files: list[Path], nested: bool = True, names: bool = True) -> pa.Table:
    contents = [{"bytes": f.read_bytes(), "path": f.name} for f in files]
    if not nested:
        contents = [content["bytes"] for content in contents]
    columns = {"image": contents, "label": [NAMES.index(f.parent.name) for f in files]}
    info = {"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}}}}
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(info)} if names else {})


def test_a_prepared_set_has_its_validation_pictures_in_a_folder_within(folder, tmp_path):
    """The layout of the authors' ImageNet: training files beside the folder ``val``, no class names."""
    root = tmp_path / "owner/imagenet/pictures"
    for split, place in (("train", root), ("val", root / "val")):
        place.mkdir(parents=True, exist_ok=True)
        rows = table(sorted((folder / split).rglob("*.png")), names=False)
        with ipc.new_stream(place / "data-00000-of-00001.arrow", rows.schema) as stream:
            stream.write_table(rows)
    for split, count in (("train", 140), ("val", 6)):
        write_images(stage(tmp_path / "owner", split, 500), tmp_path / f"{split}.h5")
        assert len(ImageFile(tmp_path / f"{split}.h5")) == count
    assert ImageFile(tmp_path / "val.h5").classes == ["0", "1"]


def test_a_thousand_classes_without_names_are_imagenets(tmp_path):
    rows = pa.table({"image": [b"x"] * 1000, "label": list(range(1000))})
    with ipc.new_stream(tmp_path / "data-00000-of-00001.arrow", rows.schema) as stream:
        stream.write_table(rows)
    names = class_names(tmp_path)
    assert (names[0], names[999]) == ("n01440764", "n15075141")


def exported(folder: Path, root: Path, layout: str) -> Path:
    """Write the same images in the layout of a download from the hub, or of ``save_to_disk``."""
    for split, hub in (("train", "train"), ("val", "validation")):
        files = sorted((folder / split).rglob("*.png"))
        half = len(files) // 3
        for k, part in enumerate((files[:half], files[half:])):
            name = f"{k:05}-of-00002"
            if layout == "parquet":
                path = root / "owner" / "data" / f"{hub}-{name}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                parquet.write_table(table(part), path, row_group_size=20)
                continue
            path = root / hub / f"data-{name}.arrow"
            path.parent.mkdir(parents=True, exist_ok=True)
            data = table(part, nested=False)
            new = ipc.new_stream if k else ipc.new_file
            with new(str(path), data.schema) as writer:
                writer.write_table(data, max_chunksize=20)
    return root


@pytest.mark.parametrize("layout", ["parquet", "arrow"])
def test_an_export_gives_the_file_that_the_folder_gives(folder, tmp_path, layout):
    root = exported(folder, tmp_path / layout, layout)
    for split, most in (("train", 100), ("train", 1000), ("val", 10)):
        files = []
        for source in (folder, root):
            write_images(stage(source, split, most), tmp_path / "out.h5")
            files.append((tmp_path / "out.h5").read_bytes())
        assert files[0] == files[1]


@pytest.mark.parametrize("most", [100, 1000])
def test_images_in_arrow_files_can_stay_there(folder, tmp_path, most):
    root = exported(folder, tmp_path / "arrow", "arrow")
    for store in ("pixels", "places"):
        made = stage(root, most=most)
        made["data"]["store"] = store
        write_images(made, tmp_path / f"{store}.h5", workers=2)
    copied, left = (ImageFile(tmp_path / f"{store}.h5") for store in ("pixels", "places"))
    rows = np.random.default_rng(1).permutation(len(copied))
    np.testing.assert_array_equal(left.images[rows], copied.images[rows])
    assert left.captions() == copied.captions()
    assert (tmp_path / "places.h5").stat().st_size < (tmp_path / "pixels.h5").stat().st_size
    (root / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        UserError, match=r"data-00001-of-00002\.arrow, from which images are read, is missing"
    ):
        ImageFile(tmp_path / "places.h5")


@pytest.mark.parametrize(
    ("side", "most", "stay"), [(16, 140, False), (16, 5000, False), (64, 140, True), (64, 5000, True)]
)
def test_images_stay_in_arrow_files_that_are_smaller_than_their_pixels(
    folder, tmp_path, side, most, stay
):
    made = stage(exported(folder, tmp_path / "arrow", "arrow"), most=most)
    made["data"] |= {"store": "auto", "resolution": side}
    write_images(made, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert ("images" in file, "places" in file) == (not stay, stay)
    assert ImageFile(tmp_path / "out.h5").images[139:].shape == (1, side, side, 3)


@pytest.mark.parametrize("layout", ["parquet", "compressed"])
def test_images_that_cannot_stay_are_copied_or_refused(folder, tmp_path, layout):
    rows = table(sorted((folder / "train").rglob("*.png")))
    root = tmp_path / "root"
    root.mkdir()
    if layout == "parquet":
        parquet.write_table(rows, root / "train.parquet")
    else:
        options = ipc.IpcWriteOptions(compression="zstd")
        with ipc.new_stream(root / "train.arrow", rows.schema, options=options) as stream:
            stream.write_table(rows)
    made = stage(root)
    made["data"] |= {"store": "places", "resolution": 64}
    with pytest.raises(UserError, match=r"data\.store places: only images in tar shards .* use pixels"):
        write_images(made, tmp_path / "out.h5")
    made["data"]["store"] = "auto"
    write_images(made, tmp_path / "out.h5")
    assert len(ImageFile(tmp_path / "out.h5")) == 100


def test_caches_of_the_library_beside_a_data_set_are_no_part_of_it(folder, tmp_path):
    root = exported(folder, tmp_path / "arrow", "arrow")
    alone = content_hash("folder", root, "train")
    for name in ("cache-0123456789abcdef.arrow", "cache-01_00000_of_00002.arrow", "tmp4k_x9a1b.arrow"):
        shutil.copy(root / "train/data-00000-of-00002.arrow", root / "train" / name)
    assert content_hash("folder", root, "train") == alone
    write_images(stage(root, most=1000), tmp_path / "out.h5")
    assert len(ImageFile(tmp_path / "out.h5")) == 140
    for split in ("train", "val"):
        shutil.copy(root / "train/cache-0123456789abcdef.arrow", folder / split)
    write_images(stage(folder, most=1000), tmp_path / "out.h5")
    assert len(ImageFile(tmp_path / "out.h5")) == 140


@pytest.mark.parametrize("layout", ["parquet", "arrow"])
@pytest.mark.parametrize("names", [True, False])
def test_a_split_without_rows_is_refused(tmp_path, layout, names):
    rows = table([], names=names).cast(pa.schema({"image": pa.binary(), "label": pa.int64()}))
    for split in ("train", "val"):
        path = tmp_path / f"root/{split}.{layout}"
        path.parent.mkdir(exist_ok=True)
        if layout == "parquet":
            parquet.write_table(rows, path)
        else:
            with ipc.new_stream(path, rows.schema) as stream:
                stream.write_table(rows)
        with pytest.raises(UserError, match=r"data\.root: .*root.* (have no rows|no readable images)"):
            write_images(stage(tmp_path / "root", split), tmp_path / "out.h5")


def test_classes_without_names_are_numbers(folder, tmp_path):
    root = tmp_path / "plain"
    root.mkdir()
    files = sorted((folder / "train").rglob("*.png"))
    parquet.write_table(table(files, names=False), root / "train.parquet")
    write_images(stage(root), tmp_path / "out.h5")
    file = ImageFile(tmp_path / "out.h5")
    assert file.classes == ["0", "1"]
    assert file.captions()[0] == "a photo of a 0"


def test_a_study_of_photographs_takes_an_export(folder, tmp_path):
    root = exported(folder, tmp_path / "parquet", "parquet")
    run = load_run(load_study("folder", {"data_root": str(root)}), "jit", "imagenet")
    assert run.conditioner.classes == 2


def test_rows_that_hold_no_picture_are_named_and_refused_or_skipped(folder, tmp_path):
    root = tmp_path / "broken"
    root.mkdir()
    data = table(sorted((folder / "train").rglob("*.png"))).to_pylist()
    data[3]["image"]["bytes"] = b"no picture"
    data[90]["image"]["bytes"] = None
    parquet.write_table(pa.Table.from_pylist(data), root / "train-0.parquet")
    with pytest.raises(UserError, match=r"2 files under.*(?s:.*)train-0\.parquet, row 90: it holds no"):
        write_images(stage(root, most=1000), tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    write_images(stage(root, most=1000, unreadable="skip"), tmp_path / "out.h5")
    assert len(ImageFile(tmp_path / "out.h5")) == 138


def test_what_cannot_be_read_is_said_in_a_sentence(folder, tmp_path):
    root = exported(folder, tmp_path / "parquet", "parquet")
    shard = root / "owner" / "data" / "train-00001-of-00002.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet is truncated or damaged"):
        write_images(stage(root), tmp_path / "out.h5")
    shard.write_bytes(whole[:500] + bytes(3000) + whole[3500:])
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet.*(damaged|row 0)"):
        write_images(stage(root, most=1000), tmp_path / "out.h5")
    parquet.write_table(pa.table({"text": ["a"]}), shard)
    with pytest.raises(UserError, match="has columns text: expected images"):
        write_images(stage(root), tmp_path / "out.h5")
    for file in root.rglob("validation*"):
        file.unlink()
    shard.write_bytes(whole)
    with pytest.raises(UserError, match=r"no parquet or Arrow file in .* is of the split val"):
        write_images(stage(root, "val"), tmp_path / "out.h5")
