"""The paper studies' evaluation protocol against facts and values of the authors' evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import every

from nanogen.config import load_model, load_run, load_study, metrics
from nanogen.data.pixels import truncated
from nanogen.metrics.distribution import inception_score, mind
from nanogen.metrics.dpg import adjusted
from nanogen.metrics.dpg import score as dpg_score
from nanogen.metrics.feature_spaces import fdr
from nanogen.metrics.frechet import Moments, frechet_distance
from nanogen.metrics.geneval import Verdict, summarise
from nanogen.prompts.question_graphs import Question

CASES, VALUES, FACTS = (
    every(pattern)
    for pattern in ("evaluation_cases*.json", "evaluation_cases*.npz", "evaluation_facts*.json")
)
OURS = {"dinov2_cls": "dinov2", "mae_cls": "mae", "siglip_cls": "siglip", "clip_cls": "clip"}


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def references(values) -> list[str]:
    return [name.partition("/")[2] for name in values if name.startswith("frechet/")]


@pytest.mark.parametrize("path", VALUES)
def test_moments_frechet_distance_and_mind(path):
    values = np.load(path)
    generated = Moments(values["features/gen"].shape[1])
    generated.add(values["features/gen"])
    assert np.allclose(generated.mean, values["mu/gen"], rtol=1e-6)
    assert np.allclose(generated.covariance, values["sigma/gen"], rtol=1e-5, atol=1e-8)
    for name in references(values):
        real = Moments(len(generated.mean))
        real.add(values[f"features/{name}"])
        found = frechet_distance(generated.mean, generated.covariance, real.mean, real.covariance)
        assert found == pytest.approx(float(values[f"frechet/{name}"]), rel=1e-5)
        found = mind(values["features/gen"], values[f"features/{name}"])
        assert found == pytest.approx(float(values[f"mind/{name}"]), rel=1e-5)


@pytest.mark.parametrize("path", VALUES)
def test_inception_score(path):
    values = np.load(path)
    found = inception_score(values["inception_score/logits"])
    assert found == pytest.approx(float(values["inception_score/value"]), rel=1e-5)


@pytest.mark.parametrize("path", VALUES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_bytes_are_cut_off_in_the_precision_of_the_decoder(path, precision):
    values = np.load(path)
    pixels = torch.from_numpy(values["pixels/float"]).to(precision)
    found = truncated(pixels.expand(1, 3, 1, -1))[0, 0, :, 0].numpy()
    assert np.array_equal(found, values[f"pixels/uint8_of_{str(precision).removeprefix('torch.')}"])


class Space:
    """Stand-in for an extractor's feature space with a given Frechet distance."""

    counted = "90 generated images"

    def __init__(self, name: str, distance: float, constant: float):
        self.name, self.constant = name, constant
        self.divided = type("", (), {"distance": distance, "source": "", "shortage": ""})


@pytest.mark.parametrize("path", CASES)
def test_fdr_of_the_six_extractors_and_their_mean(path):
    case = read(path)
    values = np.load(path.with_suffix(".npz"))
    distance = float(values[case["fdr_of"].split()[0]])
    study = load_study("paper")
    evaluation = load_run(study, study.methods[0], "imagenet").evaluation
    spaces = [
        Space(name, distance, load_model(study, name).fdr_constant) for name in evaluation.extractors
    ]
    found, _ = fdr(spaces, None)
    expected = {OURS.get(name, name): value for name, value in case["fdr"].items()}
    expected[metrics.OF_SIX] = expected.pop("mean_of_six")
    assert found == pytest.approx({f"fdr_{name}": value for name, value in expected.items()}, rel=1e-6)


@pytest.mark.parametrize("path", CASES)
def test_geneval_is_the_share_of_images_and_has_the_mean_over_tags_beside_it(path):
    case = read(path)["geneval"]
    verdicts = [Verdict(row["prompt_idx"], row["tag"], row["correct"]) for row in case["rows"]]
    found, summary = summarise(verdicts, "images"), case["evaluator_summary"]
    assert found["geneval"] == pytest.approx(case["trainer_reports"])
    assert found["tag_mean"] == pytest.approx(summary["overall_score"])
    assert found["prompt_accuracy"] == pytest.approx(summary["correct_prompts"])
    assert {tag: found[tag] for tag in summary["task_scores"]} == pytest.approx(summary["task_scores"])


@pytest.mark.parametrize("path", CASES)
def test_dpg_bench(path):
    case = read(path)["dpg"]
    graph = {
        str(item): [
            Question(str(item), q["id"], tuple(filter(None, q["dependency"])), q["tuple"], "")
            for q in image["questions"]
        ]
        for item, image in enumerate(case["images"])
    }
    answers = [
        (str(item), [float(q["answer"] == "yes") for q in image["questions"]])
        for item, image in enumerate(case["images"])
    ]
    found = dpg_score(graph, answers)
    assert found["dpg_bench"] == pytest.approx(case["mean"])
    for level in ("level_1", "level_2"):
        expected = {_column(category): value for category, value in case[level].items()}
        assert {name: found[name] for name in expected} == pytest.approx(expected)
    for (item, given), image in zip(answers, case["images"], strict=True):
        raw, after = (
            [image[part][str(question.id)] for question in graph[item]] for part in ("raw", "adjusted")
        )
        assert (given, adjusted(graph[item], given)) == (raw, after)
        assert np.mean(after) == pytest.approx(image["score"])


def _column(category: str) -> str:
    """Our name for a category: ``dpg_attribute-color`` for ``attribute - color``."""
    parts = (part.strip().replace(" ", "_") for part in category.split("-"))
    return f"dpg_{'-'.join(parts)}"


@pytest.mark.parametrize("path", FACTS)
def test_extractors_and_reference_moments_of_the_paper_studies(path):
    facts, study = read(path), load_study("paper")
    for named, fact in facts["fdr"]["extractors"].items():
        model = load_model(study, OURS.get(named, named))
        moments = fact["moments"].removesuffix(".npz")
        assert (model.fdr_statistics or model.statistics) == moments
        assert (model.input_size, model.fdr_constant) == (fact["input"], fact["constant"])
        assert (model.autocast == "bf16") == (fact["autocast"] is not None)
        assert model.statistics_hub is not None
        assert model.statistics_hub.repo in facts["fdr"]["moments_repo"]
    inception = load_model(study, "inception")
    assert f"{inception.statistics}.npz" in facts["fid"]["package"].split()[1]


@pytest.mark.parametrize("path", FACTS)
def test_protocol_of_the_paper_studies(path):
    facts, study = read(path), load_study("paper")
    images = load_run(study, "pixnerd", "imagenet")
    assert images.evaluation.real_images == "val"
    assert images.evaluation.mind_directions == facts["mind"]["directions"]
    assert images.sampling.pixels == "truncated"
    assert load_run(study, "pixnerd", "t2i").evaluation.geneval_headline == "images"


def test_pixnerd_is_sampled_without_a_shift_on_imagenet_and_with_the_default_one_on_text():
    study = load_study("paper")
    shifts = {task: load_run(study, "pixnerd", task).sampling.shift_base for task in study.tasks}
    assert shifts == {"imagenet": 196608, "t2i": 4096}
