"""Text-to-image scores of a folder of images drawn by another program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.model_stage import ModelStage
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.data.prompted_images import drawn_images, read_image
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.models.card import CARD, write_card
from nanogen.small_networks.detector import train_detector
from nanogen.small_networks.vqa import train_vqa

PROMPTS = [
    {"tag": "single_object", "prompt": "a circle", "include": [{"class": "circle", "count": 1}]},
    {
        "tag": "colors",
        "prompt": "a red square",
        "include": [{"class": "square", "count": 1, "color": "red"}],
    },
]


def flat(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 6), "red").save(folder / name)
    return folder


def test_both_layouts_give_the_same_images(tmp_path: Path):
    layouts = {
        "nested": ["00000/samples/0000.png", "00000/samples/0001.png", "00001/samples/0000.jpg"],
        "flat": ["0-0.png", "0-1.png", "1-0.webp"],
    }
    layouts["nested"].append("00001/samples/0001.png")
    layouts["flat"].append("001-0001.PNG")
    for name, files in layouts.items():
        folder = flat(tmp_path / name, *files)
        (folder / "notes.txt").write_text("passed over")
        Image.new("RGB", (4, 6)).save(folder / "grid.png")
        found = drawn_images(folder, 2)
        assert [[f.relative_to(folder).as_posix() for f in found[p]] for p in (0, 1)] == [
            files[:2],
            files[2:],
        ]
        assert read_image(found[0][0]).shape == (6, 4, 3)


@pytest.mark.parametrize(
    ("files", "prompts", "sentence"),
    [
        (["grid.png"], 2, "holds no images of prompts; expected 00000/samples/0000.png"),
        (["0-0.png"], 2, "images of 1 of 2 prompts; the first prompt without is 1"),
        (["0-0.png", "2-0.png"], 2, "images of prompt 2, but there are 2 prompts, counted from 0"),
        (["0-0.png", "0-1.png", "1-0.png"], 2, "prompt 1 has 1 images, others 2"),
        (["0-0.png", "00-0.png"], 1, "are the same image of the same prompt"),
    ],
)
def test_images_that_do_not_fit_the_prompts_are_refused(tmp_path: Path, files, prompts, sentence):
    with pytest.raises(UserError, match=sentence):
        drawn_images(flat(tmp_path / "images", *files), prompts)


def test_a_damaged_image_is_named(tmp_path: Path):
    (tmp_path / "0-0.png").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"0-0\.png cannot be read as an image"):
        read_image(tmp_path / "0-0.png")
    with pytest.raises(UserError, match="there is no folder"):
        drawn_images(tmp_path / "absent", 1)


# -------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def detector(tiny, tmp_path_factory) -> Path:
    """A detector of drawn scenes, trained for a few seconds."""
    root = tmp_path_factory.mktemp("detector")
    study = tiny(
        data={"train_images": 400, "val_images": 20},
        models={"detector": {"training": {"steps": 140}}},
    )
    files = []
    for split in ("train", "val"):
        stage = stages.data(study, "t2i", split)
        write_images(stage, root / f"{split}.h5")
        files.append(ImageFile(root / f"{split}.h5", stage["hash"]))
    stage = ModelStage.from_json(stages.model(study, "detector"))
    (root / "model").mkdir()
    write_card(root / "model", stage, train_detector(stage, *files, root / "model"), 0.0)
    return root / "model"


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, Path]:
    """Two images for each of two prompts: one of the first prompt's is right, the others are wrong."""
    from nanogen.data.scenes.draw import draw
    from nanogen.data.scenes.render import render

    folder = tmp_path / "drawn"
    folder.mkdir()
    scenes = list(draw(1, "val", "single", 200))

    def picture(shape: str, color: str) -> Image.Image:
        fits = (s for s in scenes if (s.objects[0].shape, s.objects[0].color) == (shape, color))
        return Image.fromarray(np.asarray(render(next(fits), 32)[0]))

    picture("circle", "blue").save(folder / "0-0.png")
    picture("cross", "blue").save(folder / "0-1.png")
    picture("square", "green").save(folder / "1-0.png")
    picture("square", "blue").save(folder / "1-1.png")
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))
    return folder, tmp_path / "prompts.jsonl"


def score(images: Path, prompts: Path, *more: str) -> int:
    return main(["score-t2i", "--images", str(images), "--prompts", str(prompts), *more])


@pytest.mark.slow
def test_images_of_others_are_scored_with_a_reason_for_each(detector, drawn, tmp_path, capsys):
    options = ("--study", "nano", "--detector", str(detector), "--output", str(tmp_path / "scores"))
    assert score(*drawn, *options) == 0
    assert "single_object            0.5000" in capsys.readouterr().out
    result = read_json(tmp_path / "scores" / "geneval.json")
    assert (result["format"], result["metric"]) == ("nanogen.metric", "geneval")
    assert result["values"]["geneval"] == 0.25
    assert "4 images of 2 prompts, GenEval's rules" in result["protocol"]
    lines = [json.loads(x) for x in (tmp_path / "scores/geneval.jsonl").read_text().splitlines()]
    assert [line["correct"] for line in lines] == [True, False, False, False]
    assert lines[1]["reason"] == "expected circle>=1, found 0"
    assert lines[2]["reason"] == "expected red square>=1, found 0 red; and 1 green"
    # the model's folder identifies itself, whatever study is given
    assert score(*drawn, "--study", "paper", *options[2:]) == 0


@pytest.fixture(scope="module")
def vqa(tiny, tmp_path_factory) -> Path:
    """A model that answers questions about drawn scenes, barely trained."""
    root = tmp_path_factory.mktemp("vqa")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    study = tiny(
        data={"train_images": 60, "val_images": 20},
        models={
            "vqa": {
                "architecture": {"vision_config": small, "text_config": small},
                "training": {"steps": 2, "batch_size": 8},
            }
        },
    )
    files = []
    for split in ("train", "val"):
        stage = stages.data(study, "t2i", split)
        write_images(stage, root / f"{split}.h5")
        files.append(ImageFile(root / f"{split}.h5", stage["hash"]))
    stage = ModelStage.from_json(stages.model(study, "vqa"))
    (root / "model").mkdir()
    write_card(root / "model", stage, train_vqa(stage, *files, root / "model"), 0.0)
    return root / "model"


@pytest.mark.slow
def test_images_of_others_are_asked_about_their_prompts(vqa, drawn, tmp_path):
    options = ("--study", "nano", "--vqa", str(vqa), "--output", str(tmp_path))
    assert score(*drawn, "--metrics", "dpg,genai", *options) == 0
    found = {name: read_json(tmp_path / f"{name}.json") for name in ("dpg", "genai")}
    lines = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in found
    }
    probabilities = [line["probability"] for line in lines["genai"]]
    assert found["genai"]["values"]["genai_bench"] == pytest.approx(np.mean(probabilities))
    assert [line["prompt"] for line in lines["genai"]] == ["a circle"] * 2 + ["a red square"] * 2
    # an image without a "no" scores 1, one whose object is missing scores 0
    asked = ["Is there a square?", "Is the square red?"]
    of_image = [len(line["no"]) == 0 for line in lines["dpg"][:2]]
    for line in lines["dpg"][2:]:
        assert set(line["no"]) <= set(asked)
        of_image.append(0 if asked[0] in line["no"] else 1 - len(line["no"]) / 2)
    assert found["dpg"]["values"]["dpg_bench"] == pytest.approx(np.mean(of_image))
    # a list of texts is enough for GenAI-Bench, but not for DPG-Bench
    (tmp_path / "texts.txt").write_text("a circle\na red square\n")
    texts = (drawn[0], tmp_path / "texts.txt")
    assert score(*texts, "--metrics", "genai", *options) == 0
    again = read_json(tmp_path / "genai.json")["values"]
    same = ("genai_bench", "genai_bench_low", "genai_bench_high")  # a list has no tags
    assert again == {key: found["genai"]["values"][key] for key in same}
    assert score(*texts, "--metrics", "dpg", *options) == 2


@pytest.mark.slow
def test_a_given_network_answers_instead_of_the_studys(vqa, drawn, tmp_path):
    folder = shutil.copytree(vqa, tmp_path / "blip", ignore=shutil.ignore_patterns(CARD))
    options = ("--metrics", "dpg,genai", "--vqa", str(folder), "--output", str(tmp_path))
    assert score(*drawn, *options) == 0  # the study paper has mPLUG and CLIP-FlanT5
    for name in ("dpg", "genai"):
        protocol = read_json(tmp_path / f"{name}.json")["protocol"]
        assert "; vqa: the answer yes is more probable" in protocol


def test_bad_input_is_said_before_any_network_is_loaded(drawn, tmp_path, capsys):
    images, prompts = drawn
    for options, sentence in [
        ((prompts, "--metrics", "geneval,genval"), "unknown text-to-image metric 'genval'"),
        ((prompts, "--metrics", "geneva"), "did you mean 'geneval'?"),
        ((tmp_path / "prompts.txt",), "expected prompts with GenEval's metadata"),
    ]:
        assert score(images, *options) == 2
        assert sentence in capsys.readouterr().err
    (tmp_path / "bare.json").write_text(json.dumps(["a circle", "a red square"]))
    assert score(images, tmp_path / "bare.json") == 2
    assert "expected GenEval's metadata" in capsys.readouterr().err
    (images / "1-1.png").unlink()
    assert score(images, prompts) == 2
    assert "prompt 1 has 1 images, others 2" in capsys.readouterr().err


def test_a_network_that_is_not_there_says_how_to_get_it(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert score(*drawn) == 2
    said = capsys.readouterr().err
    assert "snakemake results/paper/models/detector/nanogen.json --config study=paper" in said
    assert "facebook/mask2former-swin-small-coco-instance for detector: 275 MB" in said
    assert "--detector" in said


def test_the_papers_detector_needs_what_names_colours(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mask2former").mkdir()
    (tmp_path / "mask2former" / "model.safetensors").touch()
    assert score(*drawn, "--detector", str(tmp_path / "mask2former")) == 2
    said = capsys.readouterr().err
    assert "color-classifier: there are no weights" in said
    assert "--color-classifier" in said
    assert load_study("paper").models == {}
