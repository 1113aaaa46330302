"""Class accuracy: values computed by hand, a study's use of it, and refused classifiers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from nanogen.config import load_run, load_study, stages
from nanogen.errors import UserError
from nanogen.metrics.class_accuracy import class_accuracy


def naming(classes: list[int], known: int) -> np.ndarray:
    """Logits of a classifier of ``known`` classes that predicts ``classes``."""
    return np.eye(known, dtype=np.float32)[classes] * 3 - 1


def test_its_interval_is_wilsons():
    found = class_accuracy(naming([0, 1] * 5, 2), np.array([0, 1] * 4 + [1, 0]))
    assert found["accuracy"] == 0.8
    assert found["accuracy_low"] == pytest.approx(0.4902, abs=1e-4)
    assert found["accuracy_high"] == pytest.approx(0.9433, abs=1e-4)
    none = class_accuracy(naming([0, 1] * 5, 2), np.array([1, 0] * 5))
    assert none["accuracy"] == none["accuracy_low"] == 0 < none["accuracy_high"] < 0.3


def test_its_chance_level_is_the_mean_over_all_orders_of_the_labels():
    named, labels = [0, 0, 1, 0, 2, 2], [0, 1, 1, 0, 0, 2]
    orders = [np.mean(np.array(order) == named) for order in permutations(labels)]
    assert class_accuracy(naming(named, 4), np.array(labels))["accuracy_chance"] == pytest.approx(
        np.mean(orders)
    )
    balanced = class_accuracy(naming([3] * 8, 4), np.arange(8) % 4)
    assert balanced["accuracy"] == balanced["accuracy_chance"] == 0.25


def test_labels_that_the_classifier_cannot_name_are_refused():
    with pytest.raises(UserError, match="of class 4, but the classifier knows 4"):
        class_accuracy(naming([0, 1], 4), np.array([0, 4]))
    with pytest.raises(UserError, match="of class -1, but the classifier knows 4"):
        class_accuracy(naming([0, 1], 4), np.array([-1, 3]))
    with pytest.raises(UserError, match="2 images and 1 labels"):
        class_accuracy(naming([0, 1], 4), np.array([0]))
    with pytest.raises(UserError, match="the logits"):
        class_accuracy(np.full((2, 4), np.nan, np.float32), np.array([0, 1]))


@pytest.mark.parametrize("name", ["nano", "nano-ten", "folder", "paper"])
def test_a_study_measures_it_where_it_names_a_classifier(name, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
    given = {"data_root": str(tmp_path)} if name == "folder" else {}
    study = load_study(name, given)
    without = load_study(name, {**given, "evaluation": {"classifier": None}})
    assert set(stages.metrics_of(study, "imagenet")) - set(stages.metrics_of(without, "imagenet")) == {
        "accuracy"
    }
    assert stages.features(study, "jit", "cfg")["classifier"]["name"] == "convnext"
    for stage in (stages.features, stages.distribution):
        assert "classifier" not in stage(without, "jit", "cfg")
    assert stages.reference(study) == stages.reference(without)


@pytest.mark.parametrize(
    ("method", "classifier"),
    [
        ("sd-vae-mse", "inception"),  # its tokenizer's perceptual distance
        ("dinov2-b", "dinov2-b"),  # its tokenizer's encoder and discriminator
        ("e2e-va-vae", "dinov2-b"),  # the encoder that its tokenizer is aligned with
        ("dinov2-b-reg", "dinov2-b"),  # REG's encoder
        ("pixelgen", "inception"),  # its loss term
    ],
)
def test_a_network_that_a_method_is_trained_with_cannot_be_the_classifier(method, classifier):
    evaluation = {"extractors": ["convnext", classifier], "classifier": classifier}
    study = load_study("nano", {"methods": [method], "evaluation": evaluation})
    with pytest.raises(UserError, match=f"classifier {classifier} is a network that this method is"):
        load_run(study, method, "imagenet")


def test_the_classifier_is_one_of_the_extractors():
    study = load_study("nano", {"evaluation": {"extractors": ["inception"]}})
    with pytest.raises(UserError, match=r"convnext is not among evaluation\.extractors \(inception\)"):
        load_run(study, "jit", "imagenet")
