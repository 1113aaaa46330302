"""GenEval's detector and colour classifier, small and random, loaded like the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nanogen.config import load_study, stages
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label, read_json
from nanogen.metrics.color_classifier import TEMPLATES, ColorClassifier, crop
from nanogen.metrics.detector import load_detector
from nanogen.metrics.geneval import COLORS, check_classes
from nanogen.metrics.mask2former import GENEVAL_NAMES, enclosing_box, instances, surest_per_class
from nanogen.metrics.scores import score_geneval
from nanogen.models.card import write_card
from nanogen.prompts.prompts import write_prompts
from nanogen.small_networks.random_networks import write_random_network

STUDY = load_study("rehearsal")
IMAGE = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, tuple[Path, Model]]:
    """By name: a folder as transformers saves it, and the configuration with a smaller input."""
    made = {}
    for name in ("detector", "color-classifier"):
        stage = ModelStage.from_json(stages.model(STUDY, name))
        folder = tmp_path_factory.mktemp(name)
        write_random_network(stage, folder)
        write_card(folder, stage, {}, 0.0)
        made[name] = (folder, stage.model.model_copy(update={"input_size": 96}))
    return made


@pytest.fixture(scope="module")
def detector(folders):
    return load_detector(*folders["detector"], folders["color-classifier"])


# ---------------------------------------------------------------------- from hand-made logits


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_a_score_is_class_probability_times_mean_probability_inside_the_mask():
    class_logits = torch.log(torch.tensor([[0.8, 0.15, 0.05], [0.2, 0.1, 0.7]]))
    masks = torch.full((2, 4, 4), logit(0.1))
    masks[0, :2, 1:3] = logit(0.9)
    masks[0, 0, 1] = logit(0.6)  # inside, with less confidence
    ((number, score, mask),) = instances(class_logits, masks, (4, 4), (8, 8))
    assert number == 0
    assert score == pytest.approx(0.8 * (3 * 0.9 + 0.6) / 4, rel=1e-5)
    assert mask.shape == (8, 8)
    assert enclosing_box(mask) == [2, 0, 6, 4]
    assert mask.sum() == 16


def test_one_query_may_be_two_classes_and_unsure_or_empty_masks_are_none():
    class_logits = torch.log(torch.tensor([[0.45, 0.5, 0.05], [0.9, 0.05, 0.05], [0.35, 0.1, 0.55]]))
    masks = torch.full((3, 2, 2), logit(0.95))
    masks[1] = logit(0.4)  # nothing inside
    masks[2] = logit(0.8)  # 0.35 x 0.8 is below 0.3
    seen = list(instances(class_logits, masks, (2, 2), (2, 2)))
    assert [(number, round(score, 4)) for number, score, _ in seen] == [(1, 0.475), (0, 0.4275)]


def test_masks_are_cut_at_the_size_the_network_was_fed():
    """Logits are interpolated linearly before the threshold, so masks are finer than their grid."""
    masks = torch.tensor([[[5.0, -1.0]]])
    ((_, _, mask),) = instances(torch.tensor([[9.0, 0.0]]), masks, (1, 8), (1, 8))
    assert mask[0].tolist() == [True] * 5 + [False] * 3


def test_of_a_class_no_more_than_sixteen_are_looked_at():
    mask = np.ones((1, 1), bool)
    found = [(number, 0.31 + 0.01 * i, mask) for i in range(20) for number in (0, 1)]
    kept = surest_per_class(found)
    assert len(kept) == 32
    assert min(score for _, score, _ in kept) == pytest.approx(0.35)


def test_an_object_is_cut_out_and_the_rest_painted_grey():
    image = np.full((4, 6, 3), 255, np.uint8)
    mask = np.zeros((4, 6), bool)
    mask[1, 2], mask[2, 3] = True, True
    part = crop(image, mask, enclosing_box(mask))
    assert part[..., 0].tolist() == [[255, 0x99], [0x99, 255]]


# ------------------------------------------------------------------------ through real loading


def test_detections_have_genevals_names_boxes_scores_and_colours(detector):
    assert detector.classes == ["dog", "couch", "cup", "tv"]  # sofa and tvmonitor are renamed
    assert len(GENEVAL_NAMES) == 9
    found = detector(IMAGE)
    assert len(found) == 2
    assert found[0]
    for one in (one for image in found for one in image):
        assert set(one) == {"cls", "box", "score", "color"}
        assert one["cls"] in detector.classes
        assert one["color"] in COLORS
        assert 0.3 < one["score"] <= 1
        x0, y0, x1, y1 = one["box"]
        assert 0 <= x0 < x1 <= 64
        assert 0 <= y0 < y1 <= 48


def test_an_image_is_judged_the_same_alone_and_among_others(detector):
    assert detector(IMAGE)[1:] == detector(IMAGE[1:])


def test_the_colour_is_the_text_nearest_to_the_picture(folders):
    """Compared with the definition, one image and one text at a time."""
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    folder, model = folders["color-classifier"]
    network = CLIPModel.from_pretrained(folder).eval()
    tokenizer, processor = (c.from_pretrained(folder) for c in (CLIPTokenizer, CLIPImageProcessor))

    def unit(x):
        return x / x.norm(dim=-1, keepdim=True)

    pictures = [np.full((9, 7, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255), (9, 99, 9))]
    names, expected = ["cup", "cup", "tv"], []
    for picture, name in zip(pictures, names, strict=True):
        with torch.no_grad():
            fed = processor(picture, input_data_format="channels_last", return_tensors="pt")
            seen = unit(network.get_image_features(**fed).pooler_output[0])
            scores = []
            for color in COLORS:
                texts = [t.format(c=color, name=name) for t in TEMPLATES]
                each = [network.get_text_features(**tokenizer(t, return_tensors="pt")) for t in texts]
                mean = torch.cat([unit(one.pooler_output) for one in each]).mean(0)
                scores.append(float(unit(mean) @ seen))
        expected.append(COLORS[int(np.argmax(scores))])
    assert ColorClassifier.load(folder, model)(pictures, names) == expected
    assert ColorClassifier.load(folder, model)([], []) == []


def test_a_studys_samples_are_scored_by_it(folders, tmp_path):
    stage = stages.geneval(STUDY, "jit", "cfg")
    stage["detector"]["input_size"] = 96
    write_prompts(stages.prompts(STUDY), tmp_path / "prompts.json")
    header = label("samples", 1, stage["expects"]["samples"], method="jit", task="t2i", variant="cfg")
    with hdf5.create(tmp_path / "samples.h5", header) as file:
        file["images"], file["labels"] = IMAGE, np.array([0, 7])
    (detector, _), (colors, _) = folders["detector"], folders["color-classifier"]
    inputs = (tmp_path / "samples.h5", tmp_path / "prompts.json", detector, tmp_path / "geneval.json")
    with pytest.raises(UserError, match="sees no colours"):
        score_geneval(stage, *inputs)
    score_geneval(stage, *inputs, colors)
    result = read_json(tmp_path / "geneval.json")
    assert result["inputs"] == stage["expects"]
    assert "color_classifier" in result["inputs"]
    assert "instances of Mask2Former" in result["protocol"]
    assert 0 <= result["values"]["geneval"] <= 1


def test_what_cannot_be_loaded_says_what_is_missing(folders, tmp_path):
    folder, model = folders["detector"]
    with pytest.raises(UserError, match=r"sees no colours.*color_classifier"):
        load_detector(folder, model)
    with pytest.raises(UserError, match="holds no CLIPModel"):
        load_detector(folder, model, (tmp_path, folders["color-classifier"][1]))
    with pytest.raises(UserError, match="holds a Mask2FormerForUniversalSegmentation, not a CLIPModel"):
        load_detector(folder, model, (folder, folders["color-classifier"][1]))
    with pytest.raises(UserError, match="Mask2Former cannot be loaded; valid are"):
        load_detector(folder, model.model_copy(update={"model_class": "Mask2Former"}))


def test_a_prompt_for_what_no_detector_knows_is_named(detector):
    prompt = {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}
    check_classes([prompt], detector.classes)
    with pytest.raises(UserError, match=r"prompt 2 has 'cupp', .*did you mean 'cup'"):
        check_classes([prompt, {"include": [{"class": "cupp", "count": 1}]}], detector.classes)
