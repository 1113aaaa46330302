"""CLIPScore of a sample set: CLIP's cosine similarity of each image to its own prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nanogen.cli import main
from nanogen.config import load_study, metrics, stages
from nanogen.config.load import load_model, load_run
from nanogen.config.model_stage import ModelStage
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.metrics.clip_score import Agreement
from nanogen.prompts.prompts import write_prompts
from nanogen.small_networks.random_networks import write_random_network

ON = {"evaluation": {"clipscore": "color-classifier"}, "methods": ["jit"]}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
TEXTS = ["a dog", "a cup " * 60, "two red cups"]


@pytest.fixture(scope="module")
def study():
    return load_study("rehearsal", ON)


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory) -> Path:
    found = tmp_path_factory.mktemp("clip")
    write_random_network(ModelStage.from_json(stages.model(study, "color-classifier")), found)
    return found


def test_the_score_is_the_cosine_of_the_networks_own_features(study, folder):
    agreement = Agreement(folder, load_model(study, "color-classifier"))
    found = agreement(IMAGES, TEXTS)
    network, tokens, processor = agreement._network, agreement._tokenizer, agreement._processor
    with torch.inference_mode():
        for image, text, score in zip(IMAGES, TEXTS, found, strict=True):
            fed = tokens([text], truncation=True, max_length=77, return_tensors="pt")
            pixels = processor(image, input_data_format="channels_last", return_tensors="pt")
            cosine = torch.nn.functional.cosine_similarity(
                network.get_text_features(**fed).pooler_output,
                network.get_image_features(**pixels).pooler_output,
            )
            assert score == pytest.approx(100 * max(float(cosine), 0), abs=1e-3)
    assert ((found >= 0) & (found <= 100)).all()


def test_a_sample_set_is_scored_by_the_command_that_scores_it(study, folder, tmp_path):
    write_prompts(stages.prompts(study), tmp_path / "prompts.json")
    stage = stages.measuring(study, "jit", "t2i", "cfg")
    (stage,) = [each for each in stage if each["stage"] == "clip_score"]
    assert stages.networks(stage) == {"matcher": "color-classifier"}
    write_json(tmp_path / "stage.json", stage)
    about = {"method": "jit", "task": "t2i", "variant": "cfg"}
    with hdf5.create(tmp_path / "s.h5", label("samples", 1, stage["expects"]["samples"], **about)) as f:
        f["images"], f["labels"] = IMAGES[[0, 1]], np.array([0, 3])
    card = label("model", 1, stage["expects"]["matcher"])
    write_json(folder / "nanogen.json", card)
    words = ["score-samples", "--config", str(tmp_path / "stage.json"), "--output", str(tmp_path)]
    words += ["--samples", str(tmp_path / "s.h5"), "--prompts", str(tmp_path / "prompts.json")]
    assert main([*words, "--network", f"matcher={folder}"]) == 0
    prompts = [p["prompt"] for p in read_json(tmp_path / "prompts.json")["prompts"]]
    agreement = Agreement(folder, load_model(study, "color-classifier"))
    expected = agreement(IMAGES[[0, 1]], [prompts[0], prompts[3]]).mean()
    found = read_json(tmp_path / "clip_score.json")
    assert found["values"] == {"clip_score": pytest.approx(expected)}
    assert "2 images of 8 prompts" in found["protocol"]


def test_it_is_off_by_default_and_a_key_turns_it_on(study):
    off = load_study("rehearsal", {"methods": ["jit"]})
    names = [metrics.columns("t2i", load_run(each, "jit", "t2i").evaluation) for each in (off, study)]
    assert "clip_score" not in names[0]
    assert "clip_score" in names[1]
    with pytest.raises(UserError, match=r"evaluation\.clipscore names CLIPScore's network"):
        stages.metric(off, "jit", "cfg", "clip_score")
    with pytest.raises(UserError, match="mplug is a MPlug, not a CLIPModel"):
        Agreement(Path(), load_model(off, "mplug"))
