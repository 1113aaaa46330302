"""Text-to-image FID on the captions of COCO and MJHQ-30K, with tiny files in their layouts."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nanogen.cli import main
from nanogen.config import load_study, metrics, plan, stages
from nanogen.config.load import load_run
from nanogen.config.model_stage import ModelStage
from nanogen.config.prompt_counts import asked
from nanogen.data import hdf5
from nanogen.data.caption_images import caption_images
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.interop.local_hub import COMMIT, serving
from nanogen.metrics.extractors import load_extractor
from nanogen.metrics.frechet import Moments, frechet_distance
from nanogen.prompts.caption_sets import caption_prompts
from nanogen.small_networks.random_networks import write_random_network

COUNT, SIDE = 4, 32
MJHQ = {
    f"{i:040x}": {"category": ("animals", "food")[i % 2], "prompt": f"a picture of {i} things"}
    for i in range(COUNT)
}
COCO = {
    "images": [{"id": 7 * i, "file_name": f"COCO_val2014_{i:012d}.jpg"} for i in range(COUNT + 2)],
    "annotations": [
        {"id": 100 - 10 * i - k, "image_id": 7 * i, "caption": f"caption {k} of image {i} "}
        for i in range(COUNT + 2)
        for k in range(2)
    ],
}


def jpeg(seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (50, 40, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")  # lossless; the name does not determine the format
    return buffer.getvalue()


def write_mjhq(folder: Path, first: int = 0) -> None:
    folder.mkdir(parents=True)
    (folder / "meta_data.json").write_text(json.dumps(MJHQ))
    with zipfile.ZipFile(folder / "mjhq30k_imgs.zip", "w") as archive:
        archive.writestr("../../outside.jpg", b"never written")
        for seed, (name, entry) in enumerate(MJHQ.items(), start=first):
            archive.writestr(f"mjhq30k_imgs/{entry['category']}/{name}.jpg", jpeg(seed))


def write_coco(folder: Path) -> None:
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2014").mkdir()
    (folder / "annotations/captions_val2014.json").write_text(json.dumps(COCO))
    for seed, image in enumerate(COCO["images"]):
        (folder / "val2014" / image["file_name"]).write_bytes(jpeg(seed))


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Path]:
    folder = tmp_path / "hub"
    write_mjhq(folder / "playgroundai/MJHQ-30K")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(folder) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield folder


@pytest.fixture
def study(tmp_path):
    write_coco(tmp_path / "coco")
    sets = {"mjhq": "playgroundai/MJHQ-30K", "coco": str(tmp_path / "coco"), "prompts": COUNT}
    return load_study("nano", {"methods": ["jit"], "evaluation": {"captions": sets}})


def drawn(study, tmp_path: Path) -> list[dict]:
    """Return the prompts that `nanogen make-prompts` writes."""
    write_json(tmp_path / "prompts-stage.json", stages.prompts(study))
    words = ["make-prompts", "--config", str(tmp_path / "prompts-stage.json")]
    assert main([*words, "--output", str(tmp_path / "prompts" / "prompts.json")]) == 0
    return read_json(tmp_path / "prompts" / "prompts.json")["prompts"]


def test_captions_are_drawn_once_each_after_all_other_prompts(study, hub, tmp_path):
    prompts = drawn(study, tmp_path)
    found = prompts[-2 * COUNT :]
    assert [p["benchmark"] for p in found] == ["coco"] * COUNT + ["mjhq"] * COUNT
    assert {p["images"] for p in found} == {1}
    assert [p["prompt"] for p in found[COUNT:]] == [entry["prompt"] for entry in MJHQ.values()]
    assert found[COUNT]["item_id"] == f"animals/{0:040x}.jpg"
    for prompt in found[:COUNT]:  # each image's caption with the smallest ID
        number = int(prompt["item_id"][-6:-4])
        assert prompt["prompt"] == f"caption 1 of image {number}"
    assert read_json(tmp_path / "prompts/captions/mjhq/nanogen.json")["origin"]["commit"] == COMMIT


def test_the_distance_is_that_of_the_drawn_images_and_the_sets_own(study, hub, tmp_path):
    prompts = drawn(study, tmp_path)
    (stage,) = [s for s in stages.measuring(study, "jit", "t2i", "cfg") if s["stage"] == "caption_fid"]
    name = stages.networks(stage)["extractor"]
    folder = tmp_path / "extractor"
    folder.mkdir()
    write_random_network(ModelStage.from_json(stages.model(study, name)), folder)
    write_json(folder / "nanogen.json", label("model", 1, stage["expects"]["extractor"]))
    images = np.random.default_rng(9).integers(0, 256, (len(prompts), SIDE, SIDE, 3), np.uint8)
    about = {"method": "jit", "task": "t2i", "variant": "cfg"}
    with hdf5.create(tmp_path / "s.h5", label("samples", 1, stage["expects"]["samples"], **about)) as f:
        f["images"], f["labels"] = images, np.arange(len(prompts))
    words = ["score-samples", "--config", str(tmp_path / "stage.json"), "--output", str(tmp_path)]
    words += ["--samples", str(tmp_path / "s.h5"), "--network", f"extractor={folder}"]
    for of in ("mjhq", "coco"):
        write_json(tmp_path / f"{of}.json", stages.caption_reference(study, of))
        made = [
            "caption-reference",
            "--config",
            str(tmp_path / f"{of}.json"),
            "--extractor",
            str(folder),
        ]
        made += ["--prompts", str(tmp_path / "prompts/prompts.json")]
        made += ["--downloads", str(tmp_path / "downloads" / of)]
        assert main([*made, "--output", str(tmp_path / of / "moments.h5")]) == 0
        words += ["--captions", f"{of}={tmp_path / of}"]
    write_json(tmp_path / "stage.json", stage)
    assert main([*words, "--prompts", str(tmp_path / "prompts/prompts.json")]) == 0
    assert not list(tmp_path.rglob("outside.jpg"))
    extractor = load_extractor(folder, ModelStage.from_json(stages.model(study, name)).model)
    resolution = load_run(study, "jit", "t2i").data.resolution
    for place, of, source in (
        (slice(-COUNT, None), "mjhq", tmp_path / "downloads/mjhq"),
        (slice(-2 * COUNT, -COUNT), "coco", tmp_path / "coco"),
    ):
        wanted = [prompt["item_id"] for prompt in prompts[place]]
        stem = {"mjhq": "mjhq30k_imgs", "coco": "val2014"}[of]
        (real,) = caption_images(source, stem, wanted, resolution).batches(COUNT)
        ours, theirs = Moments(extractor.width), Moments(extractor.width)
        ours.add(extractor.in_network_batches(images[place]).features)
        theirs.add(extractor.in_network_batches(real).features)
        expected = frechet_distance(ours.mean, ours.covariance, theirs.mean, theirs.covariance)
        found = read_json(tmp_path / f"fid_{of}.json")
        assert found["values"] == {f"fid_{of}": pytest.approx(expected, rel=1e-6)}
        assert found["protocol"].startswith(f"{COUNT} images against {COUNT} images of ")


def test_it_is_off_by_default_and_one_key_turns_it_on():
    off = load_study("rehearsal", {"methods": ["jit"]})
    sets = {"captions": {"mjhq": "playgroundai/MJHQ-30K"}}
    on = load_study("rehearsal", {"methods": ["jit"], "evaluation": sets})
    columns = [set(metrics.columns("t2i", load_run(s, "jit", "t2i").evaluation)) for s in (off, on)]
    assert columns[1] - columns[0] == {"fid_mjhq"}
    assert stages.prompts(off)["hash"] != stages.prompts(on)["hash"]
    assert "captions" not in stages.prompts(off)
    assert [str(part) for part in asked(on)][-1] == "30000 prompts of MJHQ-30K x 1"
    assert "captions and images playgroundai/MJHQ-30K" in [d.what for d in plan.downloads(on)]
    with pytest.raises(UserError, match=r"evaluation\.captions names the sets"):
        stages.metric(off, "jit", "cfg", "fid_mjhq")


def test_moments_of_the_user_take_the_place_of_images(study, hub, tmp_path):
    before = stages.caption_reference(study, "coco")
    np.savez(tmp_path / "coco/moments.npz", mu=np.zeros(3), sigma=np.eye(3))
    after = stages.caption_reference(study, "coco")
    assert after["moments"]
    assert after["hash"] != before["hash"]


def _hashes(study, name: str) -> tuple[str, str]:
    """The hashes of the prompts, on which samples depend, and of the reference."""
    return stages.prompts(study)["hash"], stages.caption_reference(study, name)["hash"]


def _with(sets: dict):
    captions = {**sets, "prompts": COUNT}
    return load_study("nano", {"methods": ["jit"], "evaluation": {"captions": captions}})


@pytest.mark.parametrize(("name", "write"), [("coco", write_coco), ("mjhq", write_mjhq)])
def test_a_users_set_counts_by_its_content_and_not_by_its_path(tmp_path, name, write):
    first, second = tmp_path / "first", tmp_path / "second"
    write(first)
    before = _hashes(_with({name: str(first)}), name)
    first.rename(second)
    moved = _with({name: str(second)})
    assert _hashes(moved, name) == before
    assert stages.caption_reference(moved, name)["source"] == str(second)
    assert stages.prompts(moved)["captions"][name]["source"] == str(second)
    if name == "coco":
        (second / "val2014" / COCO["images"][0]["file_name"]).write_bytes(jpeg(99))
    else:
        shutil.rmtree(second)
        write(second, first=99)
    prompts, reference = _hashes(_with({name: str(second)}), name)
    assert prompts == before[0]  # no image is drawn again
    assert reference != before[1]


def test_a_set_on_the_hub_counts_by_its_name(study):
    stage = stages.caption_reference(study, "mjhq")
    assert stage["source"] == "playgroundai/MJHQ-30K"
    assert "images" not in stage


def test_mistakes_are_sentences(study, hub, tmp_path):
    wanted = [f"animals/{0:040x}.jpg", "food/x.jpg"]
    with pytest.raises(UserError, match=r"lacks 1 of 2 images, first food/x\.jpg"):
        caption_images(hub / "playgroundai/MJHQ-30K", "mjhq30k_imgs", wanted, SIDE)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/val2014.zip").write_text("<html>")
    with pytest.raises(UserError, match=r"val2014\.zip is not a zip archive"):
        caption_images(tmp_path / "broken", "val2014", ["a.jpg"], SIDE)
    (tmp_path / "broken/meta_data.json").write_text('{"a": {"prompt": "x"}}')
    with pytest.raises(UserError, match="is not MJHQ-30K's file of captions"):
        caption_prompts("mjhq", tmp_path / "broken/meta_data.json", 1)
    (tmp_path / "broken/meta_data.json").write_text(json.dumps(MJHQ))
    with pytest.raises(UserError, match="has 4 captions, fewer than"):
        caption_prompts("mjhq", tmp_path / "broken/meta_data.json", 5)
    (tmp_path / "coco/annotations/captions_val2014.json").unlink()
    with pytest.raises(UserError, match=r"contains no file captions_val2014\.json"):
        stages.prompts(study)
