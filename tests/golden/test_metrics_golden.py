"""Metrics against values made by the authors' public code (../shared/reference/golden)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nanogen.metrics.distribution import inception_score, mind
from nanogen.metrics.frechet import Moments, frechet_distance
from nanogen.metrics.geneval import judge

CASES = ("full", "rank_deficient", "low_rank", "near_identical")


@pytest.fixture(scope="module")
def golden(golden_folder):
    with np.load(golden_folder / "metrics.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file}


def _moments(features: np.ndarray, batch: int) -> Moments:
    moments = Moments(features.shape[1])
    for start in range(0, len(features), batch):
        moments.add(features[start : start + batch])
    return moments


@pytest.mark.parametrize("case", CASES)
def test_frechet_distance(golden, case):
    a, b = _moments(golden[f"{case}/X"], 7), _moments(golden[f"{case}/Y"], 128)
    distance = frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    assert distance == pytest.approx(float(golden[f"{case}/frechet_scipy_sqrtm"]), rel=1e-5)
    assert distance == pytest.approx(float(golden[f"{case}/frechet_eigh"]), rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_mind(golden, case):
    expected = float(golden[f"{case}/mind"])
    assert mind(golden[f"{case}/X"], golden[f"{case}/Y"]) == pytest.approx(expected, rel=1e-5)


def test_inception_score(golden):
    assert inception_score(golden["is/logits"]) == pytest.approx(float(golden["is/value"]), rel=1e-5)


def test_geneval_agrees_in_every_decision_and_reason(golden_folder):
    cases = json.loads((golden_folder / "geneval_cases.json").read_text(encoding="utf-8"))
    assert len(cases) == 500
    found = [judge(case["metadata"], case["detections"]) for case in cases]
    assert found == [(case["correct"], case["reason"]) for case in cases]
