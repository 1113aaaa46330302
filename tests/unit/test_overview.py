"""The overview: the same classes and prompts for every method, drawn without overlap."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.paths import Paths
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.report import overview
from nanogen.report.image_panels import COLUMNS, Panel, Row, draw
from nanogen.report.style import PNG_DPI, default

METHODS = ("sd-vae-mse", "jit")
SHAPES = ("circle", "square", "cross", "ring")
TAGGED = {
    "single_object": [f"a {shape}" for shape in SHAPES],
    "counting": [f"two {shape}s" for shape in SHAPES],
    "colors": [f"a red {shape}" for shape in SHAPES],
}


def write_samples(study, task: str, method: str, labels: list[int], variant: str = "cfg") -> None:
    """Write images whose grey value is their index."""
    stage = stages.sample(study, method, task, variant)
    path = Path(Paths(study).samples(method, task, variant))
    path.parent.mkdir(parents=True, exist_ok=True)
    with hdf5.create(path, label("samples", 1, stage["hash"])) as file:
        grey = np.arange(len(labels), dtype=np.uint8)
        file["images"] = np.broadcast_to(grey[:, None, None, None], (len(labels), 32, 32, 3))
        file["labels"], file["seeds"] = np.array(labels), np.arange(len(labels))


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Sample sets of two methods on both tasks, with their prompts and classes.

    The first method's text-to-image set lacks a prompt that the second one's has.
    """
    monkeypatch.chdir(tmp_path)
    study = load_study("smoke", {"methods": list(METHODS)})
    prompts = [{"prompt": text, "tag": tag} for tag, texts in TAGGED.items() for text in texts]
    prompts.append({"prompt": "of another benchmark", "tag": "easy", "benchmark": "simpleeval"})
    write_json(Paths(study).prompts, {**label("prompts", 1, "p"), "prompts": prompts})
    path = Path(Paths(study).data("imagenet", "val"))
    path.parent.mkdir(parents=True)
    with hdf5.create(path, label("images", 1, "v")) as file:
        file.attrs["classes"] = json.dumps([f"class {i}, synonym" for i in range(20)])
    for method, numbers in zip(METHODS, (range(1, 13), range(13)), strict=True):
        write_samples(study, "imagenet", method, [*range(20), *range(20)])
        write_samples(study, "t2i", method, [i for i in numbers for _ in range(2)])
    return study


def test_every_method_shows_the_first_image_of_the_same_classes_and_prompts(drawn):
    classes, prompts = overview.panels(drawn)
    assert [row.name for row in classes.rows] == ["SD-VAE-MSE", "JiT"]
    assert len(classes.columns) == len(prompts.columns) == COLUMNS
    assert all(list(row.images) == list(classes.columns) for row in classes.rows)
    assert {int(i): int(image[0, 0, 0]) for i, image in classes.rows[0].images.items()} == {
        i: i for i in classes.columns
    }
    assert classes.columns[0] == "class 0"
    assert 0 not in prompts.columns  # drawn by one of the methods only
    assert "of another benchmark" not in prompts.columns.values()
    tags = [sum(text in texts for text in prompts.columns.values()) for texts in TAGGED.values()]
    assert min(tags) >= 2
    number = next(iter(prompts.columns))
    first, second = (row.images[number] for row in prompts.rows)
    assert (first[0, 0, 0], second[0, 0, 0]) == (2 * (number - 1), 2 * number)


def test_imagenets_classes_are_named_in_words(drawn):
    with h5py.File(Paths(drawn).data("imagenet", "val"), "a") as file:
        file.attrs["classes"] = json.dumps(["n01440764", "golden_retriever"] * 10)
    classes, _ = overview.panels(drawn)
    assert set(classes.columns.values()) == {"tench", "golden retriever"}


def test_a_method_of_few_steps_has_a_row_for_each_number_of_steps(drawn):
    study = load_study("smoke", {"methods": ["jit", "meanflow"]})
    for task, labels in (("imagenet", list(range(20))), ("t2i", list(range(1, 13)))):
        write_samples(study, task, "jit", labels)
        for variant in ("cfg", "cfg-nfe2"):
            write_samples(study, task, "meanflow", labels, variant)
    for panel in overview.panels(study):
        assert [row.name for row in panel.rows] == ["JiT", "MeanFlow (NFE=1)", "MeanFlow (NFE=2)"]


def test_the_command_writes_the_figure_in_three_formats(drawn):
    from PIL import Image

    assert main(["figure", "overview", "--study", "mine.yaml", "--output-prefix", "o"]) == 2
    given = json.dumps({"methods": list(METHODS)})
    assert (
        main(["figure", "overview", "--study", "smoke", "--given", given, "--output-prefix", "o"]) == 0
    )
    assert all(Path(f"o.{kind}").stat().st_size for kind in ("pdf", "svg"))
    pixels = np.array(Image.open("o.png").convert("RGB"))
    assert pixels.shape[1] <= 7 * PNG_DPI


def test_sets_of_different_prompts_are_refused(drawn):
    write_samples(drawn, "t2i", "jit", [12, 12])
    write_samples(drawn, "t2i", "sd-vae-mse", [3])
    with pytest.raises(UserError, match="share no class or prompt"):
        overview.panels(drawn)


@pytest.mark.parametrize(("side", "methods"), [(32, 1), (256, 5)])
def test_texts_do_not_overlap_and_stay_inside(side, methods):
    images = {i: np.zeros((side, side, 3), np.uint8) for i in range(8)}
    names = ("Stable Diffusion 3.5 Large", "E2E-Qwen-Image-VAE", "MeanFlow (NFE=1)", "JiT", "PE-L")
    rows = [Row(name, "vae", images) for name in names[:methods]]
    long = "a photo of a purple computer keyboard and a red chair"
    headings = {i: long if i % 2 else "a photo of a bench" for i in range(8)}
    note = "with guidance, the first image of each prompt"
    panels = [Panel("Class-conditional generation", note, headings, rows) for _ in range(2)]
    figure = draw(panels, default("overview"))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) > 2 * (8 + methods)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    inside = figure.bbox.padded(1)
    assert all(inside.containsx(b.x0) and inside.containsx(b.x1) for b in boxes)
    assert all(inside.containsy(b.y0) and inside.containsy(b.y1) for b in boxes)
    shown = figure.axes[0].images[0].get_extent()
    assert (shown[1] - shown[0]) % 32 == 0 or side > shown[1] - shown[0]
