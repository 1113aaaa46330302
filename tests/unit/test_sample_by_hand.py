"""Sampling from a model's folder with one command, by class or prompt."""

from __future__ import annotations

import numpy as np
import pytest
from model_folders import model_folder, text_encoder_folder
from PIL import Image

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.data.class_names import class_names, class_number
from nanogen.errors import UserError
from nanogen.files import label, write_json


@pytest.fixture(scope="module")
def labelled(tiny, tmp_path_factory):
    stage = stages.train(tiny(), "jit", "imagenet")
    return model_folder(tmp_path_factory.mktemp("labelled") / "runs/imagenet/jit/model", stage)


@pytest.fixture(scope="module")
def texted(tiny, tmp_path_factory):
    """The folder of a text-to-image model, in a study's folder that also has its text encoder."""
    root = tmp_path_factory.mktemp("texted")
    stage = stages.train(tiny(), "jit", "t2i")
    text_encoder_folder(root / "models" / "qwen3", stage)
    return model_folder(root / "runs" / "t2i" / "jit" / "model", stage)


def sample(*options):
    return main(["sample", *map(str, options)])


def pictures(folder) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_classes_by_name_and_number_one_file_each(labelled, tmp_path, capsys):
    options = ("--class", "red circle", "--class", 3, "--count", 2, "--steps", 2)
    assert sample("--model", labelled, *options, "--output", tmp_path / "images") == 0
    drawn = pictures(tmp_path / "images")
    assert [image.shape for image in drawn] == [(32, 32, 3)] * 4
    assert len({image.tobytes() for image in drawn}) == 4
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_same_command_draws_the_same_and_another_seed_does_not(labelled, tmp_path):
    command = ("--model", labelled, "--class", "0", "--steps", 2)
    sample(*command, "--output", tmp_path / "one")
    sample(*command, "--output", tmp_path / "two", "--batch-size", 1)
    sample(*command, "--output", tmp_path / "other", "--seed", 7)
    sample(*command, "--output", tmp_path / "unguided", "--guidance", 1)
    one, two, other, unguided = (pictures(tmp_path / n) for n in ("one", "two", "other", "unguided"))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, unguided)


def test_what_is_not_asked_for_is_as_the_study_has_it(labelled, tmp_path, tiny):
    own = stages.sample(tiny(), "jit", "imagenet", "cfg")["sampling"]
    sample("--model", labelled, "--class", "0", "--output", tmp_path / "default")
    given = ("--steps", own["steps"], "--guidance", own["guidance_scale"], "--seed", 2026)
    sample("--model", labelled, "--class", "0", *given, "--output", tmp_path / "given")
    assert np.array_equal(pictures(tmp_path / "default"), pictures(tmp_path / "given"))


def test_prompts_with_the_studys_text_encoder_as_a_grid(texted, tmp_path):
    prompts = ("--prompt", "a red circle", "--prompt", "two blue squares")
    command = ("--model", texted, *prompts, "--steps", 2)
    assert sample(*command, "--output", tmp_path / "grid.png") == 0
    width, height = Image.open(tmp_path / "grid.png").size
    assert width > 2 * 128
    assert height > 128
    elsewhere = ("--text-encoder", texted.parents[3] / "models" / "qwen3")
    assert sample(*command, *elsewhere, "--output", tmp_path / "again.png") == 0
    assert (tmp_path / "grid.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "give a class with --class NAME, for example red circle"),
        (["--prompt", "a cat"], "is a class-conditional model"),
        (["--class", "red cirkle"], "did you mean 'red circle'"),
        (["--class", "20"], "there are 20 classes, 0 to 19"),
        (["--class", "0", "--guidance", "0.5"], "--guidance 0.5"),
        (["--class", "0", "--guidance", "nan"], "--guidance nan"),
        (["--class", "0", "--guidance", "inf"], "--guidance inf"),
        (["--class", "0", "--steps", "0"], "--steps 0"),
        (["--class", "0", "--count", "0"], "--count 0"),
        (["--class", "0", "--prompts", "prompts.json"], "--prompts belongs to a study's sample set"),
        (["--class", "0", "--config", "stage.json"], "--class is for images by hand"),
    ],
)
def test_mistakes_are_explained(labelled, tmp_path, capsys, options, sentence):
    assert sample("--model", labelled, *options, "--output", tmp_path / "x.png") == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("scale", [1, 7])
def test_a_model_whose_guidance_is_trained_takes_none(tiny, tmp_path, capsys, scale):
    meanflow = {"objective": {"kind": "meanflow", "prediction": "v"}, "sampling": {"guidance_scale": 1}}
    stage = stages.train(tiny(overrides={"methods": {"jit": meanflow}}), "jit", "imagenet")
    model = model_folder(tmp_path / "model", stage)
    command = ("--model", model, "--class", "0", "--output", tmp_path / "x.png")
    assert sample(*command, "--guidance", scale) == 2
    said = capsys.readouterr().err
    assert f"--guidance {scale}.0: jit is a MeanFlow model, whose guidance is part of" in said
    assert sample(*command, "--steps", 2) == 0


def test_a_text_model_says_what_it_lacks(texted, tmp_path, capsys):
    assert sample("--model", texted, "--class", "0", "--output", tmp_path / "x.png") == 2
    assert "give a text with --prompt TEXT" in capsys.readouterr().err
    alone = tmp_path / "model"
    alone.mkdir()
    for file in texted.iterdir():
        (alone / file.name).write_bytes(file.read_bytes())
    assert sample("--model", alone, "--prompt", "a circle", "--output", tmp_path / "x.png") == 2
    assert "needs qwen3: give its folder with --text-encoder DIR" in capsys.readouterr().err


def test_a_tokenizer_of_another_configuration_is_refused(tiny, tmp_path, capsys):
    stage = stages.train(tiny(), "sd-vae-mse", "imagenet")
    model = model_folder(tmp_path / "model", stage)
    (tmp_path / "vae").mkdir()
    write_json(tmp_path / "vae" / "nanogen.json", label("model", 1, "0" * 16, name="sd-vae-mse"))
    options = ("--class", 0, "--tokenizer", tmp_path / "vae", "--output", tmp_path / "x.png")
    assert sample("--model", model, *options) == 2
    assert "was made by another configuration" in capsys.readouterr().err


def test_no_model_and_no_stage(tmp_path, capsys):
    assert sample("--class", "0", "--output", tmp_path / "x.png") == 2
    assert "give --model DIR" in capsys.readouterr().err
    assert sample("--model", tmp_path, "--class", "0", "--output", tmp_path / "x.png") == 2
    assert "has no stage.json" in capsys.readouterr().err


def test_classes_of_imagenet_have_their_words(tmp_path):
    stage = stages.train(load_study("paper"), "jit", "imagenet")
    data = (stage["use"]["data"][key] for key in ("name", "source", "root"))
    names = class_names(*data, classes=stage["conditioner"]["classes"])
    assert class_number("golden retriever", names, 1000) == 207
    assert class_number("Tinca tinca", names, 1000) == 0
    with pytest.raises(UserError, match="several classes; give one of the numbers 134, 517"):
        class_number("crane", names, 1000)


def test_classes_of_photographs_are_their_folders(tmp_path):
    for name in ("grey_cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
    data = {"name": "mine", "source": "folder", "root": str(tmp_path)}
    names = class_names(**data, classes=2)
    assert class_number("grey cat", names, 2) == 1
    assert class_names(**data, classes=3) == []
