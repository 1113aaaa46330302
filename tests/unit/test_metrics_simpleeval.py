"""SimpleEval: counting choices, the interval, and a weak scorer that beats chance after seconds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nanogen.config import stages
from nanogen.config.model_stage import ModelStage
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.data.scenes.render import render
from nanogen.errors import UserError
from nanogen.files import label, read_json
from nanogen.metrics.scores import score_simpleeval
from nanogen.metrics.simpleeval import Choices, interval, per_prompt, summarise
from nanogen.metrics.weak_scorer import build_small, keyhole, load_weak_scorer
from nanogen.models.card import write_card
from nanogen.prompts.ideal_scenes import scene_of
from nanogen.prompts.prompts import write_prompts
from nanogen.prompts.simpleeval import BENCHMARK
from nanogen.small_networks.weak_scorer import train_weak_scorer

PROMPTS = [
    {"tag": "easy", "prompt": "a", "statement": "a", "foils": ["b", "c"]},
    {"tag": "hard", "prompt": "b", "statement": "b", "foils": ["a", "c"]},
]


def test_an_image_is_right_where_the_statement_agrees_strictly_best():
    choices = Choices(PROMPTS)
    assert choices.texts == ["a", "b", "c"]
    agreement = np.array([[3.0, 1, 2], [3, 1, 2], [2, 2, 1]])
    assert choices.right(agreement, [0, 1, 0]).tolist() == [True, False, False]
    # scale and offset of an image's agreement do not matter
    assert choices.right(5 * agreement + 7, [0, 1, 0]).tolist() == [True, False, False]


def test_chance_is_what_images_of_other_prompts_reach():
    choices = Choices(PROMPTS)
    faithful = np.array([[3.0, 1, 2], [1, 3, 2]])
    assert choices.right(faithful, [0, 1]).all()
    assert choices.chance(faithful, [0, 1]) == 0
    assert np.isnan(Choices(PROMPTS[:1]).chance(faithful[:1], [0]))


def test_levels_count_alike_however_many_prompts_they_have():
    scores = np.array([1.0, 1, 1, 0, 0.5])
    values = summarise(scores, ["easy"] * 3 + ["hard"] * 2, 7)
    assert values["simpleeval"] == pytest.approx((1 + 0.25) / 2)
    assert values["simpleeval_easy"] == 1
    assert values["simpleeval_hard_low"] == 0
    assert values["simpleeval_hard_high"] == 0.5
    assert values == summarise(scores, ["easy"] * 3 + ["hard"] * 2, 7)
    for name in ("simpleeval", "simpleeval_easy", "simpleeval_hard"):
        assert values[f"{name}_low"] <= values[name] <= values[f"{name}_high"]


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth, rng = (0.9, 0.6, 0.3), np.random.default_rng(1)
    held = 0
    for repeat in range(100):
        levels = [(rng.random(50) < p).astype(float) for p in truth]
        low, high = interval(levels, 1, repeat)
        held += low <= np.mean(truth) <= high
        assert high - low < 0.25
    assert held >= 88  # 95 expected; fewer than 88 occur by chance once in 500 times


def test_more_prompts_make_a_narrower_interval():
    few, many = ([np.tile([0.0, 1.0], n)] for n in (10, 160))
    widths = [high - low for low, high in (interval(levels, 3) for levels in (few, many))]
    assert widths[1] < widths[0] / 3


def test_several_images_of_a_prompt_are_one_observation():
    assert per_prompt(np.array([1, 0, 1]), [0, 0, 1], 2).tolist() == [0.5, 1]
    with pytest.raises(UserError, match="prompt 1 has no image"):
        per_prompt(np.array([True]), [0], 2)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(UserError, match="'a' has no statement"):
        Choices([{"tag": "easy", "prompt": "a"}])
    with pytest.raises(UserError, match="two prompts of every level"):
        summarise(np.array([1.0]), ["easy"], 1)


def test_the_keyhole_leaves_averages_only():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, ::2, ::2] = 255  # a texture with a period of two pixels
    assert np.allclose(keyhole(image, 8), 0.25)


# ------------------------------------------------------------------------- a trained scorer


@pytest.fixture(scope="module")
def study(tiny):
    changes = {
        "data": {"train_images": 600, "val_images": 150},
        "models": {"weak-scorer": {"training": {"steps": 150}}},
    }
    return tiny(**changes)


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """(folder, stage, quality) of a weak scorer after a training of seconds."""
    folder = tmp_path_factory.mktemp("scorer")
    files = []
    for split in ("train", "val"):
        write_images(stages.data(study, "t2i", split), folder / f"{split}.h5")
        files.append(ImageFile(folder / f"{split}.h5"))
    stage = ModelStage.from_json(stages.model(study, "weak-scorer"))
    (folder / "model").mkdir()
    quality = train_weak_scorer(stage, *files, folder / "model")
    write_card(folder / "model", stage, quality, 1.0)
    return folder / "model", stage, quality


@pytest.mark.slow
def test_a_short_training_beats_chance_on_real_images(trained):
    _, _, quality = trained
    assert quality["real"] > 0.4  # one of four texts is true
    assert quality["real_alike"] > 0.4


@pytest.mark.slow
def test_the_loaded_scorer_is_the_trained_one_whatever_stands_beside(trained):
    folder, stage, _ = trained
    scorer = load_weak_scorer(folder, stage.model)
    images = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), np.uint8)
    texts = ["a red circle", "two small blue crosses", "a circle left of a square"]
    agreement = scorer(images, texts)
    assert agreement.shape == (120, 3)
    alone = np.stack([scorer(images[i : i + 1], [text])[0, 0] for i, text in enumerate(texts)])
    assert alone == pytest.approx(np.diag(agreement), abs=1e-5)
    with pytest.raises(UserError, match="does not know 'hexagon'"):
        scorer(images[:1], ["a red hexagon"])
    with pytest.raises(UserError, match="too long"):
        scorer(images[:1], ["a circle and " * 5 + "a circle"])


@pytest.mark.slow
def test_what_is_no_weak_scorer_is_refused(trained, tmp_path):
    folder, stage, _ = trained
    with pytest.raises(UserError, match="is not a weak scorer"):
        load_weak_scorer(folder, stage.model.model_copy(update={"model_class": "SiglipModel"}))
    with pytest.raises(UserError, match=r"there is no config\.json"):
        load_weak_scorer(tmp_path, stage.model)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "nanogen.ShapeDetector"}))
    with pytest.raises(UserError, match=r"not a nanogen\.CoarseMatcher"):
        load_weak_scorer(tmp_path, stage.model)


@pytest.mark.slow
def test_photographs_train_no_scorer(trained, tiny_images, tmp_path):
    _, stage, _ = trained
    photographs = ImageFile(tiny_images)
    photographs.masks = None
    with pytest.raises(UserError, match=r"set evaluation\.simpleeval to null"):
        train_weak_scorer(stage, photographs, photographs, tmp_path)


def _samples(path, hash_: str, images, labels) -> None:
    header = label("samples", 1, hash_, method="jit", task="t2i", variant="cfg")
    with hdf5.create(path, header) as file:
        file["images"], file["labels"] = np.asarray(images), np.asarray(labels, np.int64)


@pytest.mark.slow
def test_faithful_images_score_above_chance_and_geneval_images_are_left_alone(study, trained, tmp_path):
    write_prompts(stages.prompts(study), tmp_path / "prompts.json")
    prompts = read_json(tmp_path / "prompts.json")["prompts"]
    stage = stages.simpleeval(study, "jit", "cfg")
    drawn = [
        render(scene_of(prompt, np.random.default_rng(i)), 32)[0] for i, prompt in enumerate(prompts)
    ]
    _samples(tmp_path / "s.h5", stage["expects"]["samples"], drawn, range(len(prompts)))
    output = tmp_path / "simpleeval.json"
    score_simpleeval(stage, tmp_path / "s.h5", tmp_path / "prompts.json", trained[0], output)
    result = read_json(output)
    values, simple = result["values"], [p for p in prompts if p.get("benchmark") == BENCHMARK]
    assert values["simpleeval_low"] > values["simpleeval_chance"]
    assert 0.1 < values["simpleeval_chance"] < 0.4
    assert result["protocol"].startswith(f"{len(simple)} images of {len(simple)} prompts in 3 levels")
    assert f"right on {trained[2]['real']:.3f} of real images" in result["protocol"]
    assert result["inputs"] == stage["expects"]

    geneval_only = {**read_json(tmp_path / "prompts.json"), "prompts": prompts[:5]}
    (tmp_path / "few.json").write_text(json.dumps(geneval_only))
    _samples(tmp_path / "few.h5", stage["expects"]["samples"], drawn[:5], range(5))
    with pytest.raises(UserError, match="has no prompts of simpleeval"):
        score_simpleeval(stage, tmp_path / "few.h5", tmp_path / "few.json", trained[0], output)


@pytest.mark.slow
def test_random_weights_are_at_chance(trained):
    folder, _, _ = trained
    scorer = build_small(read_json(folder / "config.json"))
    images = np.random.default_rng(1).integers(0, 256, (200, 32, 32, 3), np.uint8)
    prompts = [
        {"tag": "easy", "prompt": color, "statement": f"a {color} circle", "foils": foils}
        for color, foils in (
            ("red", ["a blue circle", "a green circle", "a yellow circle"]),
            ("blue", ["a red circle", "a green circle", "a yellow circle"]),
            ("green", ["a red circle", "a blue circle", "a yellow circle"]),
            ("yellow", ["a red circle", "a blue circle", "a green circle"]),
        )
    ]
    choices = Choices(prompts)
    right = choices.right(scorer(images, choices.texts), np.arange(200) % 4)
    assert right.mean() == pytest.approx(0.25, abs=0.1)
