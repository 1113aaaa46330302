"""Drawn scenes: captions describe what images and masks show."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations, product
from pathlib import Path

import h5py
import numpy as np
import pytest

from nanogen.config import load_study
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.data.scenes import captions, draw, render, scenes
from nanogen.errors import UserError
from nanogen.metrics.geneval import relations


def stage(kind: str = "composed", split: str = "train", count: int = 60, resolution: int = 32) -> dict:
    data = {"name": "t2i", "source": "scenes", "scene": kind, "resolution": resolution}
    data |= {f"{split}_images": count, "unreadable": "refuse", "root": None, "caption_template": ""}
    return {"stage": "data", "hash": "abc", "seed": 7, "split": split, "data": data}


def composed(count: int = 400) -> list[scenes.Scene]:
    return list(draw.draw(7, "train", "composed", count))


def test_the_same_bytes_every_time_and_whatever_the_count(tmp_path: Path):
    write_images(stage(), tmp_path / "a.h5")
    write_images(stage(), tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert list(draw.draw(7, "train", "composed", 30)) == composed(60)[:30]
    assert list(draw.draw(8, "train", "composed", 30)) != composed(30)


@pytest.mark.slow
def test_the_default_study_has_scenes_enough_and_validates_on_none_that_it_trains_on():
    """This also holds across the tasks: a scene of one object may be drawn for either."""
    nano = load_study("nano").data
    counts = {"train": nano["train_images"], "val": nano["val_images"]}
    keys: dict[str, set[str]] = {"train": set(), "val": set()}
    for kind, (split, count) in product(("single", "composed"), counts.items()):
        drawn = {scenes.key(scene) for scene in draw.draw(2026, split, kind, count)}
        assert len(drawn) == count
        keys[split] |= drawn
    assert not keys["train"] & keys["val"]


def test_more_scenes_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(scenes, "_VAL_SHARE", 0)
    with pytest.raises(UserError, match="not 5 distinct single scenes for the split val"):
        list(draw.draw(7, "val", "single", 5))


def test_single_scenes_hold_one_object_and_balance_their_classes(tmp_path: Path):
    write_images(stage("single", count=100), tmp_path / "single.h5")
    file = ImageFile(tmp_path / "single.h5", "abc")
    assert sorted(Counter(file.labels.tolist()).values()) == [5] * 20
    for k, objects in zip(file.labels, file.objects, strict=True):
        (item,) = objects
        assert file.classes[k] == f"{item['color']} {item['shape']}"


def test_objects_lie_apart_inside_the_image_and_masks_show_them():
    for scene in composed(200):
        image, masks = render.render(scene, 32)
        visible = masks[: len(scene.objects)]
        assert masks.sum(0).max() == 1
        assert not masks[len(scene.objects) :].any()
        for item, mask in zip(scene.objects, visible, strict=True):
            assert mask.sum() >= 30
            typical = np.median(image[mask.astype(bool)], axis=0)
            distance = {color: abs(typical - rgb).sum() for color, rgb in scenes.COLORS.items()}
            assert min(distance, key=distance.get) == item.color
            x0, y0, x1, y1 = render.box(mask)
            (w, h), pixel = item.half, scenes.UNITS / 32
            assert (x1 - x0, y1 - y0) == pytest.approx((2 * w / pixel, 2 * h / pixel), abs=2)  # uncut
        for one, other in combinations(map(render.box, visible), 2):
            assert any(one[a] > other[a + 2] or other[a] > one[a + 2] for a in (0, 1))  # a pixel apart
        # Pixels outside all objects differ from the background only at antialiased edges.
        ground = np.abs(image[masks.sum(0) == 0].astype(int) - scene.background_rgb).max(1)
        assert np.mean(ground == 0) > 0.6


def test_two_objects_stand_side_by_side_or_one_above_the_other():
    pairs = [scene.objects for scene in composed() if len(scene.objects) == 2]
    assert {scenes.relation(*pair) for pair in pairs} == set(scenes.RELATIONS)


def test_varied_scenes_show_objects_of_many_sizes_anywhere():
    varied = list(draw.draw(7, "train", "varied", 400))
    alone = [scene.objects[0] for scene in varied if len(scene.objects) == 1]
    for values in ([item.x for item in alone], [item.y for item in alone]):
        assert np.ptp(values) > scenes.UNITS / 2
    assert np.ptp([item.radius for item in alone]) >= 20
    assert {len(scene.objects) for scene in varied} == {1, 2, 3, 4}
    for scene in varied:
        _, masks = render.render(scene, 64)
        assert masks.any((1, 2)).sum() == len(scene.objects)
        assert masks.sum(0).max() == 1  # no object hides another


def test_objects_are_mentioned_as_one_reads_unless_a_relation_is_said():
    told = Counter()
    for scene in composed():
        places = [(3 * item.y // scenes.UNITS, item.x) for item in scene.objects]  # row, column
        told[scene.family == "relation", places == sorted(places)] += 1
    assert told[False, False] == 0
    assert min(told[True, False], told[True, True]) > 20


def test_a_finer_image_shows_the_same_scene():
    for scene in composed(10):
        coarse, fine = (render.render(scene, r)[0].astype(float) for r in (32, 64))
        # An object that is off by a pixel would cause a difference of about 200.
        assert np.abs(fine.reshape(32, 2, 32, 2, 3).mean((1, 3)) - coarse).max() < 60


def described(caption: str) -> tuple[list[tuple[str | None, str | None, str]], str | None]:
    """(size, color, shape) of every object that a short caption mentions, and the relation."""
    found = []
    for word, size, color, shape in re.findall(
        rf"(a|two|three|four) (?:({'|'.join(scenes.RADII)}) )?(?:({'|'.join(scenes.COLORS)}) )?"
        r"(circle|square|triangle|cross)(?:e?s)?\b",
        caption,
    ):
        count = {"a": 1, "two": 2, "three": 3, "four": 4}[word]
        found += [(size or None, color or None, shape)] * count
    return found, next((r for r in scenes.RELATIONS if f" {r} " in caption), None)


def test_short_captions_are_true_of_the_picture():
    for scene in composed():
        mentioned, where = described(captions.short(scene))
        assert len(mentioned) == len(scene.objects)
        for (size, color, shape), item in zip(mentioned, scene.objects, strict=True):
            assert shape == item.shape
            assert color in (None, item.color)
            assert size in (None, item.size)
        if where:
            _, masks = render.render(scene, 32)
            assert where in relations(render.box(masks[0]), render.box(masks[1]))


def test_dense_captions_tell_every_colour_shape_place_and_relation():
    for scene in composed():
        text = captions.dense(scene)
        assert 2 <= text.count(".") <= 4
        assert f"The background is {scene.background}." in text
        for item in scene.objects:
            assert item.color in text
            assert item.size in text
            assert item.shape in text
            assert f"at the {captions.place(item)}" in text
        told = next((r for r in scenes.RELATIONS if f" is {r} the " in text), None)
        if scene.family != "several" and len(scene.objects) == 2:
            assert told == scenes.relation(*scene.objects)


def test_the_mixture_covers_what_geneval_asks_for():
    families = Counter(scene.family for scene in composed())
    assert set(families) == {"one", "several", "two", "relation", "colors"}
    assert min(families.values()) >= 0.09 * families.total()
    counts = Counter(len(s.objects) for s in composed() if s.family == "several")
    assert set(counts) == {2, 3, 4}
    told = Counter(described(captions.short(s))[1] for s in composed() if s.family == "relation")
    assert set(told) == set(scenes.RELATIONS)
    assert min(told.values()) >= 8


def test_the_file_says_what_it_holds(tmp_path: Path):
    write_images(stage(split="val", count=40), tmp_path / "val.h5")
    file = ImageFile(tmp_path / "val.h5", "abc")
    assert len(file) == 40
    assert (file.split, file.task) == ("val", "t2i")
    assert file.images.shape == (40, 32, 32, 3)
    assert isinstance(file.images, np.memmap)
    assert file.masks.shape == (40, 4, 32, 32)
    assert file.captions("short") != file.captions("dense")
    for objects, masks in zip(file.objects, file.masks, strict=True):
        for item, mask in zip(objects, masks, strict=False):
            x0, y0, x1, y1 = item["box"]
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
    with h5py.File(tmp_path / "val.h5") as raw:
        assert json.loads(raw.attrs["classes"]) == list(scenes.CLASSES)


def test_a_file_of_another_configuration_and_a_truncated_one_are_refused(tmp_path: Path):
    path = tmp_path / "val.h5"
    write_images(stage(split="val", count=20), path)
    with pytest.raises(UserError, match=r"carries hash abc.*expects other"):
        ImageFile(path, "other")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(UserError, match="truncated"):
        ImageFile(path, "abc")


def test_too_small_a_picture_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="16 pixels"):
        write_images(stage(resolution=8), tmp_path / "x.h5")
    assert not list(tmp_path.iterdir())
