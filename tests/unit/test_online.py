"""Evaluation while training: it gives the final evaluation's numbers and changes no weight."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from trainings import ALONE, Stopping, train_in

from nanogen.backbones import load
from nanogen.cli import main
from nanogen.config import stages
from nanogen.config.model_stage import ModelStage
from nanogen.config.sample_stage import OnlineStage, SampleStage
from nanogen.config.train_stage import TrainStage
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.metrics.detector import SHAPE_DETECTOR, build_detector
from nanogen.metrics.feature_files import write_features, write_reference
from nanogen.metrics.scores import score_distribution, score_geneval
from nanogen.models.card import write_card
from nanogen.models.network_files import save_network
from nanogen.prompts.prompts import write_prompts
from nanogen.sampling.generate import Generator, generate, labels_of
from nanogen.sampling.inputs import class_conditions, text_conditions
from nanogen.stage2.dataset import TrainingData
from nanogen.stage2.evaluation import Inputs, Online
from nanogen.tokenizers.pixels import Pixels
from nanogen.training.stopping import Interrupted

EVALUATED = {
    "evaluation": {"extractors": ["inception"], "classifier": None, "images": 30},
    "models": {"inception": {"source": "random"}},
}


def lines(model: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (model / "online.jsonl").read_text().splitlines()]


def steps(model: Path) -> list[int]:
    return [line["step"] for line in lines(model)]


def losses(model: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (model / "train.jsonl").read_text().splitlines()]


# --------------------------------------------------------------------------- class-conditional


@pytest.fixture(scope="module")
def classes(tiny):
    """(every, images) -> a study whose runs are evaluated every ``every`` steps."""

    def study(every: int = 3, images: int = 30):
        return tiny(training={"evaluate_every": every, "evaluate_images": images}, **EVALUATED)

    return study


@pytest.fixture(scope="module")
def place(classes, tiny_images, tmp_path_factory) -> Path:
    """A folder with an untrained extractor and the reference file that was written with it."""
    place, study = tmp_path_factory.mktemp("online"), classes()
    networks.write_random(study, ("inception",), place)
    write_images(stages.data(study, "imagenet", "val"), place / "val.h5")
    real = {"train": ImageFile(tiny_images), "val": ImageFile(place / "val.h5")}
    folders = {"inception": place / "inception"}
    write_reference(stages.reference(study), real, folders, place / "statistics.h5")
    return place


@pytest.fixture
def inputs(place) -> Inputs:
    return Inputs({"inception": place / "inception"}, reference=place / "statistics.h5")


@pytest.fixture
def evaluated(classes, tiny_images, inputs, tmp_path):
    """(name, every, stop at) -> the folder of a model that was evaluated during its training."""

    def trained(name: str, every: int = 3, stop_at: int = -1) -> Path:
        study = classes(every)
        stage = stages.train(study, "jit", "imagenet")
        source = Stopping(TrainStage.from_json(stage), None, tiny_images, None)
        source.at = stop_at
        online = Online(
            OnlineStage.from_json(stages.online(study, "jit", "imagenet")),
            TrainStage.from_json(stage),
            inputs,
            ALONE,
        )
        return train_in(tmp_path / name, stage, source, online=online)

    return trained


def test_the_last_fid_is_that_of_the_finished_models_sample_set(classes, evaluated, place, tmp_path):
    model, study = evaluated("run"), classes()
    sample = stages.sample(study, "jit", "imagenet", "cfg")
    generator = Generator(SampleStage.from_json(sample), load(model), Pixels(32), ALONE.device)
    labels, samples = labels_of(SampleStage.from_json(sample), None), tmp_path / "samples.h5"
    generate(SampleStage.from_json(sample), generator, labels, class_conditions, 50, ALONE, samples)
    features = tmp_path / "features.h5"
    folders = {"inception": place / "inception"}
    write_features(stages.features(study, "jit", "cfg"), samples, folders, features)
    scored = stages.distribution(study, "jit", "cfg")
    score_distribution(scored, features, place / "statistics.h5", tmp_path)
    assert steps(model) == [3, 6, 8]
    assert lines(model)[-1]["fid"] == read_json(tmp_path / "fid.json")["values"]["fid"]
    assert len({line["fid"] for line in lines(model)}) == 3


def test_evaluated_or_not_the_weights_are_the_same_to_the_bit(tiny, evaluated, tiny_images, tmp_path):
    model = evaluated("run", every=1)
    stage = stages.train(tiny(), "jit", "imagenet")
    plain = train_in(
        tmp_path / "plain", stage, TrainingData(TrainStage.from_json(stage), None, tiny_images, None)
    )
    assert steps(model) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert losses(model) == losses(plain)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (model, plain)]
    assert weights[0] == weights[1]
    assert read_json(model / "nanogen.json")["hash"] == read_json(plain / "nanogen.json")["hash"]
    assert not (plain / "online.jsonl").exists()


def test_torchs_own_generator_is_left_alone(classes, inputs):
    study = classes()
    stage = stages.train(study, "jit", "imagenet")
    before = torch.get_rng_state()
    online = Online(
        OnlineStage.from_json(stages.online(study, "jit", "imagenet")),
        TrainStage.from_json(stage),
        inputs,
        ALONE,
    )
    online.images(online.images.model.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("at", [0, 3])
def test_stopped_and_continued_logs_the_same_scores(evaluated, tmp_path, at):
    """The training stops at a step whose evaluation is due; it is made up for afterwards."""
    with pytest.raises(Interrupted):
        evaluated("cut", every=2, stop_at=at)
    log = tmp_path / "cut" / "state" / "online.jsonl"
    with open(log, "a") as file:
        file.write('{"step": 8, "fi')  # as a killed process leaves it
    assert lines(evaluated("cut", every=2)) == lines(evaluated("whole", every=2))


def test_few_images_show_classes_from_all_over(classes, inputs):
    study = classes(images=5)
    online = Online(
        OnlineStage.from_json(stages.online(study, "jit", "imagenet")),
        TrainStage.from_json(stages.train(study, "jit", "imagenet")),
        inputs,
        ALONE,
    )
    assert online.images.labels.tolist() == [0, 4, 8, 12, 16]
    assert online.images.indices.tolist() == [0, 4, 8, 12, 16]


def test_weights_without_guidance_are_evaluated_without(tiny):
    unguided = {"methods": {"meanflow": {"evaluation": {"unguided": True}}}}
    study = tiny(methods=["jit", "meanflow"], training={"evaluate_every": 2}, overrides=unguided)
    guided = stages.online(study, "meanflow", "imagenet")
    own = stages.online(study, "meanflow", "imagenet", "-nocfg")
    assert (guided["variant"], own["variant"]) == ("cfg", "nocfg")
    assert own["train"]["hash"] == stages.train(study, "meanflow", "imagenet", "-nocfg")["hash"]


def test_how_often_is_no_part_of_what_is_evaluated(classes):
    often, rarely = (stages.online(classes(every), "jit", "imagenet") for every in (1, 5))
    assert often["hash"] == rarely["hash"]
    assert (often["use"]["every"], rarely["use"]["every"]) == (1, 5)
    assert often["hash"] != stages.online(classes(images=9), "jit", "imagenet")["hash"]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"reference": None}, "needs --reference FILE"),
        ({"networks": {}}, "needs inception: give --network inception=DIR"),
        ({"reference": Path("nowhere.h5")}, r"nowhere\.h5 does not exist"),
        ({"networks": {"inception": Path("nowhere")}}, "there is no model folder nowhere"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(classes, inputs, missing, said):
    study = classes()
    stage = stages.train(study, "jit", "imagenet")
    with pytest.raises(UserError, match=said):
        Online(
            OnlineStage.from_json(stages.online(study, "jit", "imagenet")),
            TrainStage.from_json(stage),
            replace(inputs, **missing),
            ALONE,
        )


def test_a_tokenizer_that_is_not_given_is_named(classes, inputs):
    study = classes()
    stage = stages.train(study, "sd-vae-mse", "imagenet")
    with pytest.raises(UserError, match="needs sd-vae-mse: give --network sd-vae-mse=DIR"):
        Online(
            OnlineStage.from_json(stages.online(study, "sd-vae-mse", "imagenet")),
            TrainStage.from_json(stage),
            inputs,
            ALONE,
        )


def test_what_belongs_to_another_configuration_is_refused(classes, tiny, inputs):
    study = classes()
    evaluation, stage = (of(study, "jit", "imagenet") for of in (stages.online, stages.train))
    with pytest.raises(UserError, match=f"belongs to the training {stage['hash']}, not to"):
        Online(
            OnlineStage.from_json(evaluation),
            TrainStage.from_json(stages.train(study, "pixelgen", "imagenet")),
            inputs,
            ALONE,
        )
    other = {**evaluation, "expects": {**evaluation["expects"], "reference": "0000"}}
    with pytest.raises(UserError, match=r"statistics\.h5 was made by another configuration"):
        Online(OnlineStage.from_json(other), TrainStage.from_json(stage), inputs, ALONE)
    with pytest.raises(UserError, match="evaluate_every is 0"):
        Online(
            OnlineStage.from_json(stages.online(classes(0), "jit", "imagenet")),
            TrainStage.from_json(stage),
            inputs,
            ALONE,
        )


# ------------------------------------------------------------------------------- the command


def options(folder: Path, study, images: Path, place: Path) -> list[str]:
    """Command line of `train` with its evaluation, as the rule calls it."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "train.json", stages.train(study, "jit", "imagenet"))
    write_json(folder / "online.json", stages.online(study, "jit", "imagenet"))
    given = {
        "config": folder / "train.json",
        "data": images,
        "state": folder / "state",
        "output": folder / "model",
        "log-every": 2,
        "online": folder / "online.json",
        "reference": place / "statistics.h5",
        "network": f"inception={place / 'inception'}",
    }
    return ["train", *(str(word) for key, value in given.items() for word in (f"--{key}", value))]


def test_the_command_evaluates_and_its_mistakes_are_sentences(
    classes, tiny_images, place, tmp_path, capsys
):
    words = options(tmp_path / "run", classes(), tiny_images, place)
    at = words.index("--reference")
    assert main([*words[:at], *words[at + 2 :]]) == 2
    said = capsys.readouterr().err
    assert said == "nanogen train: the evaluation while training needs --reference FILE\n"
    assert main(words) == 0
    assert steps(tmp_path / "run" / "model") == [3, 6, 8]
    assert not (tmp_path / "run" / "state").exists()


@pytest.mark.slow
def test_two_processes_log_what_one_does(classes, evaluated, tiny_images, place, tmp_path):
    words = options(tmp_path / "two", classes(), tiny_images, place)
    launch = [sys.executable, "-m", "nanogen", "launch", "--processes", "2", "--"]
    done = subprocess.run([*launch, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = evaluated("one"), tmp_path / "two" / "model"
    assert steps(two) == steps(one)
    assert [x["fid"] for x in lines(two)] == pytest.approx([x["fid"] for x in lines(one)], rel=1e-3)
    weights = [load_file(model / "model.safetensors") for model in (one, two)]
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, atol=1e-5, rtol=1e-4, msg=name)


# ------------------------------------------------------------------------------- text-to-image


def write_text(path: Path, stage: dict[str, Any], texts: int, kinds: list[str], width: int) -> None:
    """Write random text features of three tokens each."""
    drawn = np.random.default_rng(3).normal(size=(3 * texts * len(kinds), width))
    header = label("text", 1, stage["hash"], kinds=json.dumps(kinds), width=width)
    with hdf5.create(path, header) as file:
        file["tokens"] = drawn.astype(np.float16)
        file["offsets"] = np.arange(0, len(drawn) + 1, 3)


@pytest.fixture(scope="module")
def described(tiny, tmp_path_factory):
    """A study of six prompts, and a folder with its files and an untrained detector of two classes."""
    place = tmp_path_factory.mktemp("t2i")
    prompts = [
        {"tag": tag, "prompt": f"{number} {name}", "include": [{"class": name, "count": 1}]}
        for number, (tag, name) in enumerate(
            [("single_object", "circle"), ("single_object", "square"), ("colors", "circle")] * 2
        )
    ]
    (place / "asked.jsonl").write_text("".join(f"{json.dumps(prompt)}\n" for prompt in prompts))
    t2i = {
        "evaluation": {"prompts": str(place / "asked.jsonl"), "images_per_prompt": 2},
        "training": {"steps": 8, "evaluate_every": 4},
    }
    study = tiny(overrides={"tasks": {"t2i": t2i}})
    write_images(stages.data(study, "t2i", "train"), place / "train.h5")
    write_prompts(stages.prompts(study), place / "prompts.json")
    count = len(read_json(place / "prompts.json")["prompts"])
    width = stages.train(study, "jit", "t2i")["text_width"]
    write_text(place / "captions.h5", stages.text(study, "t2i", "qwen3"), 100, ["short", "dense"], width)
    write_text(place / "text.h5", stages.text(study, "prompts", "qwen3"), count, ["prompt"], width)
    config = {
        "_class_name": SHAPE_DETECTOR,
        "kind": "classifier",
        "classes": ["circle", "square"],
        "arguments": {},
    }
    torch.manual_seed(1)
    (place / "detector").mkdir()
    save_network(build_detector(config).network, config, place / "detector")
    stage = ModelStage.from_json(stages.model(study, "detector"))
    write_card(place / "detector", stage, {}, 0.0)
    return study, place


def test_the_last_geneval_is_that_of_the_finished_models_sample_set(described, tmp_path):
    study, place = described
    stage = stages.train(study, "jit", "t2i")
    inputs = Inputs(
        {"detector": place / "detector"}, prompts=place / "prompts.json", text=place / "text.h5"
    )
    online = Online(
        OnlineStage.from_json(stages.online(study, "jit", "t2i")),
        TrainStage.from_json(stage),
        inputs,
        ALONE,
    )
    source = TrainingData(TrainStage.from_json(stage), None, place / "train.h5", place / "captions.h5")
    model = train_in(tmp_path / "run", stage, source, online=online)

    sample = stages.sample(study, "jit", "t2i", "cfg")
    prompts = read_json(place / "prompts.json")["prompts"]
    labels = labels_of(SampleStage.from_json(sample), prompts)
    assert len(online.images.labels) == 12 < len(labels)  # only the final evaluation draws SimpleEval's
    generator = Generator(SampleStage.from_json(sample), load(model), Pixels(32), ALONE.device)
    conditions = text_conditions(SampleStage.from_json(sample), place / "text.h5")
    generate(
        SampleStage.from_json(sample), generator, labels, conditions, 12, ALONE, tmp_path / "samples.h5"
    )
    files = (tmp_path / "samples.h5", place / "prompts.json", place / "detector")
    score_geneval(stages.geneval(study, "jit", "cfg"), *files, tmp_path / "geneval.json")
    assert steps(model) == [4, 8]
    assert lines(model)[-1] == {"step": 8, **read_json(tmp_path / "geneval.json")["values"]}
    assert 0 < lines(model)[-1]["geneval"] < 1


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("prompts", "needs --prompts FILE"),
        ("text", "needs --prompt-text FILE"),
        ("networks", "needs detector: give --network detector=DIR"),
    ],
)
def test_what_is_not_there_is_said_for_texts_too(described, left_out, said):
    study, place = described
    networks = {"detector": place / "detector"}
    every = Inputs(networks, prompts=place / "prompts.json", text=place / "text.h5")
    given = replace(every, **{left_out: {} if left_out == "networks" else None})
    with pytest.raises(UserError, match=said):
        Online(
            OnlineStage.from_json(stages.online(study, "jit", "t2i")),
            TrainStage.from_json(stages.train(study, "jit", "t2i")),
            given,
            ALONE,
        )
