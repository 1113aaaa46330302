"""Metrics against values computed by the authors' public code (../shared/reference/golden)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from golden_files import every

from nanogen.metrics.distribution import inception_score, mind
from nanogen.metrics.frechet import Moments, frechet_distance
from nanogen.metrics.geneval import judge

FILES = pytest.mark.parametrize("golden", every("metrics*.npz"), indirect=True)


@pytest.fixture
def golden(request):
    with np.load(request.param, allow_pickle=False) as file:
        return {name: file[name] for name in file}


def cases(golden) -> list[str]:
    """Names of the cases: the part before ``/X``."""
    found = [name.removesuffix("/X") for name in golden if name.endswith("/X")]
    assert found
    return found


def _moments(features: np.ndarray, batch: int) -> Moments:
    moments = Moments(features.shape[1])
    for start in range(0, len(features), batch):
        moments.add(features[start : start + batch])
    return moments


@FILES
def test_frechet_distance(golden):
    for case in cases(golden):
        a, b = _moments(golden[f"{case}/X"], 7), _moments(golden[f"{case}/Y"], 128)
        distance = frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
        for of in ("scipy_sqrtm", "eigh"):
            assert distance == pytest.approx(float(golden[f"{case}/frechet_{of}"]), rel=1e-5), case


@FILES
def test_mind(golden):
    for case in cases(golden):
        expected = float(golden[f"{case}/mind"])
        assert mind(golden[f"{case}/X"], golden[f"{case}/Y"]) == pytest.approx(expected, rel=1e-5), case


@FILES
def test_inception_score(golden):
    assert inception_score(golden["is/logits"]) == pytest.approx(float(golden["is/value"]), rel=1e-5)


@pytest.mark.parametrize("path", every("geneval_cases*.json"))
def test_geneval_agrees_in_every_decision_and_reason(path):
    cases = json.loads(path.read_text(encoding="utf-8"))
    assert cases
    found = [judge(case["metadata"], case["detections"]) for case in cases]
    assert found == [(case["correct"], case["reason"]) for case in cases]
