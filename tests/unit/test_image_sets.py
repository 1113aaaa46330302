"""Images are streamed from folders, NPZ and HDF5 files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nanogen.data import hdf5
from nanogen.data.image_sets import open_images
from nanogen.errors import UserError
from nanogen.files import label

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8)


def read(path, side=None, batch: int = 3) -> np.ndarray:
    images = open_images(path, side)
    batches = list(images.batches(batch))
    assert [len(b) for b in batches[:-1]] == [batch] * (len(batches) - 1)
    assert sum(map(len, batches)) == len(images)
    return np.concatenate(batches)


def folder_of(path, images: np.ndarray, suffix: str = "png"):
    path.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"{number:03}.{suffix}", lossless=True)
    return path


def samples_of(path, images: np.ndarray, kind: str = "samples"):
    with hdf5.create(path, label(kind, 1, "0" * 16)) as file:
        file["images"] = images
    return path


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_every_source_gives_the_same_images_in_order(tmp_path, batch):
    np.savez(tmp_path / "plain.npz", IMAGES)
    np.savez_compressed(tmp_path / "packed.npz", IMAGES)
    for path in (
        folder_of(tmp_path / "png", IMAGES),
        folder_of(tmp_path / "webp", IMAGES, "webp"),
        tmp_path / "plain.npz",
        tmp_path / "packed.npz",
        samples_of(tmp_path / "samples.h5", IMAGES),
    ):
        np.testing.assert_array_equal(read(path, batch=batch), IMAGES, err_msg=str(path))


def test_pictures_lie_at_any_depth_and_other_files_are_none(tmp_path):
    folder = folder_of(tmp_path / "images", IMAGES[:2])
    folder_of(folder / "class_b", IMAGES[2:4])
    (folder / "notes.txt").write_text("not a picture")
    assert len(open_images(folder)) == 4


def test_resizing_brings_images_of_all_sizes_and_forms_to_one(tmp_path):
    folder = folder_of(tmp_path / "images", IMAGES[:1])
    Image.new("L", (40, 20), 200).save(folder / "grey.jpg")
    Image.new("RGBA", (9, 30), (255, 0, 0, 255)).save(folder / "red.webp", lossless=True)
    found = read(folder, 8)
    assert found.shape == (3, 8, 8, 3)
    assert (np.abs(found[1].astype(int) - 200) < 3).all()
    assert (found[2] == [255, 0, 0]).all()
    np.savez(tmp_path / "wide.npz", np.full((2, 16, 32, 3), 7, np.uint8))
    assert (read(tmp_path / "wide.npz", 8) == 7).all()


def test_what_cannot_be_scored_is_said(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("nothing")
    mixed = folder_of(tmp_path / "mixed", IMAGES[:2])
    Image.new("RGB", (20, 20)).save(mixed / "large.png")
    wide = tmp_path / "wide"
    wide.mkdir()
    Image.new("RGB", (20, 10)).save(wide / "a.png")
    broken = folder_of(tmp_path / "broken", IMAGES[:2])
    (broken / "001.png").write_bytes((broken / "001.png").read_bytes()[:20])
    np.savez(tmp_path / "pickled.npz", np.array([{}], object))
    np.savez(tmp_path / "floats.npz", IMAGES / 255)
    np.savez(tmp_path / "named.npz", images=IMAGES)
    np.savez(tmp_path / "none.npz", IMAGES[:0])
    whole = (tmp_path / "named.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").touch()
    np.savez_compressed(tmp_path / "packed.npz", IMAGES)
    packed = (tmp_path / "packed.npz").read_bytes()
    central = packed.rindex(b"PK\x01\x02") + 6  # where the version that reads it is
    (tmp_path / "version.npz").write_bytes(packed[:central] + b"\xff" + packed[central + 1 :])
    start = packed.index(b"arr_0.npy") + 40  # in the compressed bytes
    (tmp_path / "stream.npz").write_bytes(packed[:start] + b"\xff" * 20 + packed[start + 20 :])
    for path, says in (
        (tmp_path / "absent", "does not exist"),
        (empty, "holds no images"),
        (mixed, r"several sizes: 000\.png is 16 x 16, large\.png 20 x 20 pixels; --resize"),
        (wide, "not square; --resize"),
        (broken, r"001\.png cannot be read"),
        (tmp_path / "pickled.npz", "expected uint8"),
        (tmp_path / "floats.npz", "float64 of shape"),
        (tmp_path / "named.npz", "expected an array arr_0, it holds images"),
        (tmp_path / "none.npz", "arr_0 is empty"),
        (tmp_path / "cut.npz", "truncated"),
        (tmp_path / "empty.npz", "truncated"),
        (tmp_path / "version.npz", "is not a readable .npz file"),
        (tmp_path / "stream.npz", "arr_0 is not a numpy array"),
        (samples_of(tmp_path / "latents.h5", IMAGES, "latents"), "of format latents"),
        (samples_of(tmp_path / "other.txt", IMAGES), "a folder, an .npz or an .h5 file"),
    ):
        with pytest.raises(UserError, match=says):
            read(path)


def test_a_damaged_member_of_an_archive_ends_with_its_image(tmp_path):
    path = tmp_path / "damaged.npz"
    np.savez(path, IMAGES)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged at image"):
        read(path)
