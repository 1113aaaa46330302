"""Photographs: every kind of file becomes the image that a viewer shows, or is reported by name."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nanogen.data.crop import centre_crop, load
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError


def stage(root: Path, split: str = "train", most: int = 100, unreadable: str = "refuse", **more) -> dict:
    data = {"name": "imagenet", "source": "folder", "scene": "single", "resolution": 16}
    data |= {"root": str(root), "train_images": most, "val_images": most, "unreadable": unreadable}
    data |= {"caption_template": "a photo of a {name}", **more}
    return {"stage": "data", "hash": "abc", "seed": 7, "split": split, "data": data}


def picture(path: Path, color: tuple[int, int, int] = (200, 30, 40), size=(20, 18)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    root = tmp_path / "photographs"
    for number in range(4):
        picture(root / f"train/polar_bear/{number}.jpg", (10 * number, 0, 0))
        picture(root / f"train/cat/{number}.png", (0, 10 * number, 0))
    picture(root / "val/cat/0.png")
    return root


# ---------------------------------------------------------------------------- decoding


def test_exif_orientation_is_applied(tmp_path: Path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:4] = 255  # white at the top as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed rotated clockwise: the top becomes the right
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    shown = load(tmp_path / "turned.png", 16)
    assert shown[:, -4:].min() == 255
    assert shown[:, :12].max() == 0


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    Image.fromarray(np.tile(ramp, (256, 1))).save(tmp_path / f"deep.{suffix}")
    shown = load(tmp_path / f"deep.{suffix}", 256)
    assert np.array_equal(shown[0, :, 0], np.arange(256))


def test_transparency_shows_white(tmp_path: Path):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., 0] = 255
    rgba[:8, :, 3] = 255  # the upper half opaque red
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.paste(0, (0, 8, 16, 16))
    palette.save(tmp_path / "palette.png", transparency=0)
    for name in ("rgba.png", "palette.png"):
        shown = load(tmp_path / name, 16)
        assert shown[0, 0].tolist() == [255, 0, 0]
        assert shown[-1, 0].tolist() == [255, 255, 255]


def test_greyscale_cmyk_and_animations_become_rgb(tmp_path: Path):
    Image.new("L", (16, 16), 100).save(tmp_path / "grey.png")
    Image.new("1", (16, 16), 1).save(tmp_path / "bits.png")
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    frames = [Image.new("RGB", (16, 16), c) for c in ("lime", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    shown = {f.name: load(f, 16)[3, 3].tolist() for f in tmp_path.iterdir()}
    assert shown == {
        "grey.png": [100] * 3,
        "bits.png": [255] * 3,
        "cmyk.tif": [255, 0, 0],
        "moving.gif": [0, 255, 0],
    }


def test_the_crop_halves_then_scales_then_takes_the_middle():
    # 72 x 64 -> halved to 36 x 32 -> scaled to 18 x 16 -> centre crop of 16 x 16.
    columns = np.repeat(np.linspace(0, 255, 18).round().astype(np.uint8), 4)
    image = Image.fromarray(np.tile(columns[None, :, None], (64, 1, 3)))
    cropped = centre_crop(image, 16)
    assert cropped.shape == (16, 16, 3)
    assert np.abs(cropped[8, :, 0].astype(int) - columns[::4][1:17]).max() <= 3


@pytest.mark.parametrize("size", [(5, 9), (16, 16), (31, 17), (300, 40), (40, 301)])
def test_any_size_becomes_the_square(size: tuple[int, int]):
    shown = centre_crop(Image.new("RGB", size, (1, 2, 3)), 16)
    assert shown.shape == (16, 16, 3)
    assert (shown == (1, 2, 3)).all()


# ------------------------------------------------------------------------------ folders


def test_labels_captions_and_order_follow_the_folders(photographs: Path, tmp_path: Path):
    write_images(stage(photographs), tmp_path / "train.h5")
    file = ImageFile(tmp_path / "train.h5", "abc")
    assert file.classes == ["cat", "polar_bear"]
    assert file.labels.tolist() == [0] * 4 + [1] * 4
    assert file.captions() == ["a photo of a cat"] * 4 + ["a photo of a polar bear"] * 4
    assert file.captions("dense") == file.captions("short")
    assert file.images[:4, 0, 0, 1].tolist() == [0, 10, 20, 30]
    assert (file.masks, file.objects) == (None, None)
    write_images(stage(photographs, "val"), tmp_path / "val.h5")
    assert ImageFile(tmp_path / "val.h5").classes == ["cat", "polar_bear"]


def test_the_most_to_take_is_shared_by_the_classes(photographs: Path, tmp_path: Path):
    picture(photographs / "train/ant/0.png")
    write_images(stage(photographs, most=6), tmp_path / "train.h5")
    assert np.bincount(ImageFile(tmp_path / "train.h5").labels).tolist() == [1, 3, 2]


def test_unreadable_files_are_named_and_refused_or_skipped(photographs: Path, tmp_path: Path, caplog):
    whole = picture(photographs / "train/cat/whole.jpg", size=(64, 64)).read_bytes()
    (photographs / "train/cat/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photographs / "train/cat/note.txt").write_text("no picture")
    output = tmp_path / "train.h5"
    with pytest.raises(UserError, match=r"2 files .*(?s:.*)train/cat/cut\.jpg.*(?s:.*)note\.txt"):
        write_images(stage(photographs), output)
    assert not output.exists()
    with caplog.at_level(logging.WARNING):
        write_images(stage(photographs, unreadable="skip"), output)
    assert "train/cat/cut.jpg" in caplog.text
    assert "train/cat/note.txt" in caplog.text
    file = ImageFile(output)
    assert np.bincount(file.labels).tolist() == [5, 4]
    assert file.images.shape[0] == 9
    assert file.left_out == 2


def test_a_class_of_unreadable_files_only_is_refused(photographs: Path, tmp_path: Path):
    (photographs / "train/dog").mkdir()
    (photographs / "train/dog/a.jpg").write_text("no picture")
    with pytest.raises(UserError, match="dog holds no readable image"):
        write_images(stage(photographs, unreadable="skip"), tmp_path / "train.h5")


def test_hidden_files_and_folders_are_not_data(photographs: Path, tmp_path: Path):
    (photographs / "train/.cache").mkdir()
    (photographs / "train/cat/.DS_Store").write_text("x")
    write_images(stage(photographs), tmp_path / "train.h5")
    assert ImageFile(tmp_path / "train.h5").classes == ["cat", "polar_bear"]


def test_mistakes_in_the_folder_are_named(photographs: Path, tmp_path: Path):
    output = tmp_path / "x.h5"
    (photographs / "train/empty").mkdir()
    with pytest.raises(UserError, match="train/empty is empty"):
        write_images(stage(photographs), output)
    (photographs / "train/empty").rmdir()
    picture(photographs / "val/polar_baer/0.png")
    with pytest.raises(UserError, match=r"val/polar_baer is a class .*did you mean 'polar_bear'"):
        write_images(stage(photographs, "val"), output)
    with pytest.raises(UserError, match=r"no folder .*absent/train"):
        write_images(stage(photographs / "absent"), output)
    (tmp_path / "bare/train").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no class folders"):
        write_images(stage(tmp_path / "bare"), output)
    with pytest.raises(UserError, match="caption_template"):
        write_images(stage(photographs, caption_template="a {colour} thing"), output)
    assert not output.exists()


# ----------------------------------------------------------------------- images of unusual forms


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (3, 5000), (40, 700), (2000, 17)])
def test_of_a_strip_only_the_middle_is_enlarged(size: tuple[int, int]):
    generator = np.random.default_rng(7)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels)
    found = centre_crop(image, 32)
    whole = image
    while min(whole.size) >= 64:
        whole = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.BOX)
    scale = 32 / min(whole.size)
    whole = whole.resize(tuple(round(n * scale) for n in whole.size), Image.Resampling.BICUBIC)
    left, top = (whole.width - 32) // 2, (whole.height - 32) // 2
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32)))
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_a_line_of_pixels_needs_little_memory(tmp_path: Path):
    import tracemalloc

    Image.new("RGB", (1, 100_000), (1, 2, 3)).save(tmp_path / "line.png")
    tracemalloc.start()
    try:
        assert (load(tmp_path / "line.png", 256) == (1, 2, 3)).all()
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_texts_and_colour_profiles_of_any_length_are_passed_over(tmp_path: Path):
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("workflow", "x" * (3 << 20), zip=True)
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "text.png", pnginfo=about)
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "profile.png", icc_profile=b"x" * (3 << 20))
    for name in ("text.png", "profile.png"):
        assert (load(tmp_path / name, 16) == 9).all()
