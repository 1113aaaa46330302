"""A small model that answers questions, trained for seconds on drawn scenes, up to both metrics."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nanogen.cli import main
from nanogen.config import load_model, stages
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.config.sample_stage import SampleStage
from nanogen.config.section import read
from nanogen.config.validation import merged
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.metrics.question_scores import score_questions
from nanogen.metrics.vqa import load_vqa
from nanogen.metrics.vqa_score import Answers, text_of
from nanogen.prompts.prompts import write_prompts
from nanogen.prompts.questions import write_questions
from nanogen.records import record
from nanogen.sampling.generate import labels_of
from nanogen.small_networks.vqa import train_vqa
from nanogen.small_networks.vqa_questions import SHARES, pool_of

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
CHANGES = {
    "data": {"train_images": 300, "val_images": 60},
    "evaluation": {"images_per_prompt": 1},
    "models": {
        "vqa": {
            "architecture": {"vision_config": SMALL, "text_config": SMALL},
            "training": {"steps": 120, "batch_size": 16},
        }
    },
}


@pytest.fixture(scope="module")
def study(tiny):
    return tiny(**CHANGES)


@pytest.fixture(scope="module")
def data(study, tmp_path_factory):
    """split -> the image file of composed scenes."""
    folder = tmp_path_factory.mktemp("images")
    for split in ("train", "val"):
        write_images(stages.data(study, "t2i", split), folder / f"{split}.h5")
    return {split: ImageFile(folder / f"{split}.h5") for split in ("train", "val")}


@pytest.fixture(scope="module")
def trained(study, data, tmp_path_factory):
    """(folder, quality) of the study's own model."""
    folder = tmp_path_factory.mktemp("vqa")
    stage = ModelStage.from_json(stages.model(study, "vqa"))
    return folder, train_vqa(stage, data["train"], data["val"], folder)


@pytest.fixture(scope="module")
def files(study, data, tmp_path_factory):
    """The stage, and a sample set with its prompts and questions."""
    folder = tmp_path_factory.mktemp("samples")
    stage = stages.question_scores(study, "jit", "cfg")
    write_prompts(stages.prompts(study), folder / "prompts.json")
    write_questions(stages.questions(study), folder / "prompts.json", folder / "questions.json")
    count = len(read_json(folder / "prompts.json")["prompts"])
    images = data["train"].images[:count]
    samples = _write_samples(folder / "samples.h5", stage, images, np.arange(count))
    return stage, samples, folder / "prompts.json", folder / "questions.json"


def _write_samples(path, stage, images, labels):
    header = label("samples", 1, stage["expects"]["samples"], method="jit", task="t2i", variant="cfg")
    with hdf5.create(path, header) as file:
        file["images"], file["labels"] = images, np.asarray(labels, np.int64)
    return path


class Oracle:
    """Answers from a table: yes to the questions in ``true``, for every image."""

    protocol = "told by the test"

    def __init__(self, *true: str):
        self.true = true

    def answer(self, images, rows, questions):
        yes = np.array([question in self.true for question in questions])
        return Answers(yes, np.where(yes, 0.75, 0.25))


def test_questions_are_drawn_half_true_of_every_kind(data):
    pool = pool_of(data["train"])
    place, chosen, true = pool.draw(np.arange(100), 800, np.random.default_rng(0))
    kinds = pool.kind[chosen]
    assert set(pool.kinds) >= {"exists", "color", "count", "place", "position", "color_attr"}
    drawn = np.bincount(kinds)
    assert set(drawn / drawn.min()) == {1, SHARES["exists"]}
    assert all(true[kinds == kind].mean() == 0.5 for kind in range(len(pool.kinds)))
    for image, question, answer in zip(place[:200], chosen[:200], true[:200], strict=True):
        (objects, text) = data["train"].objects[image], pool.texts[question]
        if text.startswith("Is there a "):
            assert answer == any(text == f"Is there a {o['shape']}?" for o in objects)
        elif pool.kinds[pool.kind[question]] == "color":
            said = {f"Is the {o['shape']} {o['color']}?" for o in objects}
            assert answer == (text in said)


@pytest.mark.slow
def test_the_model_is_trained_saved_and_loaded(study, data, trained):
    folder, quality = trained
    assert 0.5 < quality["accuracy"] <= 1
    assert {"accuracy_exists", "accuracy_place", "accuracy_color_attr"} <= quality.keys()
    model = load_vqa(folder, load_model(study, "vqa"))
    found = model.answer(data["val"].images, np.arange(4), ["Is there a circle?"] * 4)
    assert np.isfinite(found.probability).all()


@pytest.mark.slow
def test_photographs_are_asked_about_their_classes(study, data, tmp_path):
    train, val = (ImageFile(data[split].path) for split in ("train", "val"))
    train.masks = val.masks = None
    quality = train_vqa(ModelStage.from_json(stages.model(study, "vqa")), train, val, tmp_path)
    assert quality.keys() == {"accuracy", "accuracy_exists", "accuracy_single_object"}


@pytest.mark.slow
def test_both_metrics_are_written_with_their_chance_level(files, study, trained, tmp_path):
    stage, *paths = files
    model = load_vqa(trained[0], read(Model, stage["models"]["dpg"]))
    score_questions(stage, *paths, {"dpg": model, "genai": model}, tmp_path)
    for metric, name in (("dpg", "dpg_bench"), ("genai", "genai_bench")):
        content = read_json(tmp_path / f"{metric}.json")
        values = content["values"]
        assert 0 <= values[name] <= 1
        assert 0 <= values[f"chance_{name}"] <= 1
        assert content["hash"] == stage["hash"]
        assert "vqa: the answer yes is more probable than no" in content["protocol"]


@pytest.mark.slow
def test_one_command_measures_all_metrics_or_one(files, trained, tmp_path, capsys):
    stage, samples, prompts, questions = files
    model = load_vqa(trained[0], read(Model, stage["models"]["dpg"]))
    score_questions(stage, samples, prompts, questions, {"dpg": model, "genai": model}, tmp_path / "a")
    write_json(tmp_path / "stage.json", stage)
    words = ["score-samples", "--config", str(tmp_path / "stage.json"), "--samples", str(samples)]
    words += ["--prompts", str(prompts), "--questions", str(questions)]
    networks = [f"--network={metric}_model={trained[0]}" for metric in ("dpg", "genai")]
    assert main([*words, *networks, "--output", str(tmp_path / "b")]) == 0
    for name in ("dpg.json", "genai.json"):
        assert read_json(tmp_path / "b" / name) == read_json(tmp_path / "a" / name)
        assert record.read(tmp_path / "b" / name)["configuration"]["hash"] == stage["hash"]
    one = [*words, "--output", str(tmp_path / "c"), "--metric"]
    assert main([*one, "genai", *networks]) == 0
    assert [path.name for path in sorted((tmp_path / "c").glob("*.json"))] == ["genai.json"]
    for wrong, sentence in (
        ([*one, "genia", *networks], "--metric genia: .*did you mean 'genai'"),
        ([*one, "dpg"], "add --network dpg_model=DIR"),
        ([*one[:5], *networks, *one[-3:], "dpg"], "--prompts is missing"),
    ):
        assert main(wrong) == 2
        assert re.search(sentence, capsys.readouterr().err)
    write_json(tmp_path / "stage.json", {**stage, "stage": "train"})
    assert main([*one, "dpg"]) == 2
    assert "stage 'train' measures no sample set" in capsys.readouterr().err


def test_answers_become_scores_by_the_graph(files, tmp_path):
    stage, samples, prompts, questions = files
    score_questions(stage, samples, prompts, questions, {"dpg": Oracle()}, tmp_path)
    assert read_json(tmp_path / "dpg.json")["values"]["dpg_bench"] == 0
    texts = [q["text"] for q in read_json(questions)["questions"]]
    children = [text for text in texts if not text.startswith("Is there a ")]
    score_questions(stage, samples, prompts, questions, {"dpg": Oracle(*children)}, tmp_path)
    values = read_json(tmp_path / "dpg.json")["values"]
    assert values["dpg_bench"] == 0  # no object is present, so nothing counts
    assert values["dpg_attribute"] == values["dpg_relation"] == 1
    perfect = {"dpg": Oracle(*texts), "genai": Oracle()}
    score_questions(stage, samples, prompts, questions, perfect, tmp_path, shifts=0)
    values = read_json(tmp_path / "dpg.json")["values"]
    assert values["dpg_bench"] == values["dpg_entity-whole"] == 1
    assert "chance_dpg_bench" not in values
    assert read_json(tmp_path / "genai.json")["values"]["genai_bench"] == 0.25


def test_images_and_prompts_must_belong_together(files, data, tmp_path):
    stage, samples, prompts, questions = files
    count = len(read_json(prompts)["prompts"])
    images = data["train"].images
    for labels, sentence in (
        (np.delete(np.arange(count), 5), "prompt 5 .* has 0 images, expected 1"),
        ([*range(count), 3], "prompt 3 .* has 2 images, expected 1"),
        ([*range(count), count], f"belongs to prompt {count}, but .* has {count} prompts"),
    ):
        broken = _write_samples(tmp_path / "s.h5", stage, images[: len(labels)], labels)
        with pytest.raises(UserError, match=sentence):
            score_questions(stage, broken, prompts, questions, {"genai": Oracle()}, tmp_path)
    with pytest.raises(UserError, match="DPG-Bench needs --questions"):
        score_questions(stage, samples, prompts, None, {"dpg": Oracle()}, tmp_path)


DPG = """\
item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language
drawn3,a red circle,,1,0,entity,whole,entity - whole (circle),Is there a circle?
drawn3,a red circle,,2,1,attribute,color,"attribute - color (circle, red)",Is the circle red?
drawn3,a red circle,,3,0,entity,whole,entity - whole (square),Is there a square?
whoops1,two blue squares,,1,0,entity,whole,entity - whole (square),Is there a square?
whoops1,two blue squares,,2,1,other,count,other - count (square),Are there two squares?
"""


@pytest.fixture
def own_files(tiny, data, tmp_path):
    """Like ``files``, for a study in which both benchmarks have their own prompts."""
    (tmp_path / "dpg.csv").write_text(DPG)
    (tmp_path / "genai.txt").write_text("a cross above a ring\na circle\n")
    named = {"questions": str(tmp_path / "dpg.csv"), "genai_prompts": str(tmp_path / "genai.txt")}
    study = tiny(**merged(CHANGES, {"evaluation": {**named, "images_per_prompt": 2}}))
    stage = stages.question_scores(study, "jit", "cfg")
    sample = SampleStage.from_json(stages.sample(study, "jit", "t2i", "cfg"))
    write_prompts(stages.prompts(study), tmp_path / "prompts.json")
    write_questions(stages.questions(study), tmp_path / "prompts.json", tmp_path / "questions.json")
    labels = labels_of(sample, read_json(tmp_path / "prompts.json")["prompts"])
    images = np.resize(data["train"].images[:], (len(labels), 32, 32, 3))
    samples = _write_samples(tmp_path / "samples.h5", stage, images, labels)
    return stage, samples, tmp_path / "prompts.json", tmp_path / "questions.json"


@pytest.mark.slow
def test_prompts_of_their_own_are_asked_about_alone(own_files, trained, tmp_path):
    stage, *paths = own_files
    model = load_vqa(trained[0], read(Model, stage["models"]["dpg"]))
    score_questions(stage, *paths, {"dpg": model, "genai": model}, tmp_path)
    said = {metric: read_json(tmp_path / f"{metric}.json") for metric in ("dpg", "genai")}
    assert said["dpg"]["protocol"].startswith("4 images of 2 prompts of its own, 4 questions")
    assert said["genai"]["protocol"].startswith("2 images of 2 prompts of its own, mean P(yes)")
    assert 0 <= said["dpg"]["values"]["dpg_bench"] <= 1
    assert 0 < said["genai"]["values"]["genai_bench"] < 1


class Witness(Oracle):
    """Remembers the images that it was shown and the questions about them."""

    def answer(self, images, rows, questions):
        self.images, self.asked = images, list(questions)
        return super().answer(images, rows, questions)


def test_the_csvs_graph_decides_about_the_images_of_its_prompts(own_files, tmp_path):
    stage, samples, prompts, questions = own_files
    witness = Witness("Is the circle red?", "Are there two squares?")
    score_questions(stage, samples, prompts, questions, {"dpg": witness}, tmp_path, shifts=0)
    with hdf5.opened(samples, "samples", 1) as file:
        assert np.array_equal(witness.images, file["images"][-6:-2])  # GenAI-Bench's two follow
    # The file's first question is left out, so the second one has no parent.
    first = ["Is the circle red?", "Is there a square?"]
    second = ["Is there a square?", "Are there two squares?"]
    assert witness.asked == [*first, *first, *second, *second]
    values = read_json(tmp_path / "dpg.json")["values"]
    assert values["dpg_bench"] == np.mean([0.5, 0.0])
    assert (values["dpg_attribute"], values["dpg_other"]) == (1, 1)
    score_questions(stage, samples, prompts, None, {"genai": witness}, tmp_path, shifts=0)
    assert [text_of(asked) for asked in witness.asked] == ["a cross above a ring", "a circle"]


def test_what_is_measured_on_genevals_prompts_says_so(files, tmp_path):
    stage, *paths = files
    score_questions(stage, *paths, {"genai": Oracle()}, tmp_path, shifts=0)
    assert (
        "prompts of GenEval, not of its own, mean P(yes)"
        in read_json(tmp_path / "genai.json")["protocol"]
    )
