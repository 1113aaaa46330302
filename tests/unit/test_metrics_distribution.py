"""Frechet distance, moments, MIND and the Inception Score, against values in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from nanogen.errors import UserError
from nanogen.metrics import distribution as module
from nanogen.metrics import neighbours
from nanogen.metrics.distribution import inception_score, mind
from nanogen.metrics.frechet import Moments, few_images, frechet_distance
from nanogen.metrics.neighbours import precision_recall


def test_frechet_distance_of_diagonal_gaussians():
    # per axis: (difference of means)^2 + (difference of standard deviations)^2
    mu1, mu2 = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0])
    sd1, sd2 = np.array([1.0, 2.0, 0.0]), np.array([3.0, 2.0, 5.0])
    distance = frechet_distance(mu1, np.diag(sd1**2), mu2, np.diag(sd2**2))
    assert distance == pytest.approx(5 + 4 + 25, rel=1e-12)


def test_frechet_distance_does_not_care_about_rotation_order_or_rank():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    a, b = rng.normal(size=(4, 6)), rng.normal(2, 3, size=(50, 6))  # 4 rows: singular covariance
    moments = [(x.mean(0), np.cov(x.T)) for x in (a, b, a @ rotation, b @ rotation)]
    straight = frechet_distance(*moments[0], *moments[1])
    assert frechet_distance(*moments[1], *moments[0]) == pytest.approx(straight, rel=1e-7)
    assert frechet_distance(*moments[2], *moments[3]) == pytest.approx(straight, rel=1e-7)
    assert frechet_distance(*moments[1], *moments[1]) == pytest.approx(0, abs=1e-9)


def test_moments_are_the_same_however_rows_arrive():
    rows = np.random.default_rng(1).normal(1000, 0.01, size=(101, 5)).astype(np.float32)
    whole = Moments(5)
    whole.add(rows)
    first, second = Moments(5), Moments(5)
    for part in np.array_split(rows[:60], 7):
        first.add(part)
    second.add(rows[60:])
    first.merge(second)
    assert first.count == 101
    np.testing.assert_allclose(whole.covariance, np.cov(rows.T.astype(np.float64)), rtol=1e-9)
    np.testing.assert_allclose(first.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(first.covariance, whole.covariance, rtol=1e-8)


def test_mind_of_a_shift_is_three_times_its_squared_length():
    # projections move by u.s; E (u.s)^2 = |s|^2 / d over unit directions u
    a = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    shift = np.array([2.0, 0, 0, 0, 0, 0, 0, 1.0], np.float32)
    assert mind(a, a + shift, directions=20000) == pytest.approx(15, rel=0.02)
    assert mind(a, a[::-1]) == pytest.approx(0, abs=1e-9)


def test_mind_does_not_depend_on_the_size_of_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=(n, 6)).astype(np.float32) for n in (90, 70))
    whole = mind(a, b, directions=50)
    monkeypatch.setattr(module, "BLOCK_VALUES", 210)  # three directions at a time
    assert mind(a, b, directions=50) == pytest.approx(whole, rel=1e-6)


def test_inception_score_is_one_without_information_and_the_classes_with_all():
    assert inception_score(np.zeros((50, 7))) == pytest.approx(1)
    certain = np.tile(100 * np.eye(5), (20, 1))
    assert inception_score(certain, splits=1) == pytest.approx(5)
    with_rest = np.concatenate([certain, np.zeros((3, 5))])  # 103 images in 4 splits of 25
    assert 1 < inception_score(with_rest, splits=4) < 5


def _share_inside(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    """The plain definition, with all distances at once."""
    radii = np.sort(cdist(centres, centres), axis=1)[:, k]  # column 0: the point itself
    return (cdist(points, centres) <= radii).any(1).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("tile", [neighbours.TILE, 37])
def test_precision_and_recall_are_the_definitions_whatever_the_tiles(monkeypatch, k, tile):
    rng = np.random.default_rng(4)
    real = rng.normal(100, 1, size=(300, 6)).astype(np.float32)
    generated = rng.normal(100.3, 0.8, size=(200, 6)).astype(np.float32)
    monkeypatch.setattr(neighbours, "TILE", tile)
    precision, recall = precision_recall(real, generated, k)
    assert precision == _share_inside(generated, real, k)
    assert recall == _share_inside(real, generated, k)
    assert 0.2 < recall < precision


def test_precision_and_recall_tell_poor_images_from_few_kinds_of_images():
    rng = np.random.default_rng(5)
    real = rng.normal(size=(400, 4))
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 50) == (0, 0)
    precision, recall = precision_recall(real, real[:1] + 0.01 * rng.normal(size=(400, 4)))
    assert precision > 0.9  # all near one real image,
    assert recall < 0.05  # and near no other
    black = np.full((20, 4), 1 / 3, np.float32)
    assert precision_recall(black, black) == (1, 1)  # balls of radius 0


def test_too_few_images_are_told_with_how_many_would_do():
    assert few_images(97, 96) == ""
    assert "only 96 images for 96 features" in few_images(96, 96)
    assert "more than 96" in few_images(96, 96)


NAN = np.array([[0.0, np.nan]] * 20)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda: inception_score(np.zeros((9, 4))), "at least 10 images"),
        (lambda: inception_score(NAN), "not finite"),
        (lambda: mind(NAN, NAN), "not finite"),
        (lambda: mind(np.zeros((5, 3)), np.zeros((5, 4))), "same extractor"),
        (lambda: precision_recall(NAN, NAN), "not finite"),
        (lambda: precision_recall(np.zeros((9, 3)), np.zeros((9, 4))), "same extractor"),
        (lambda: precision_recall(np.zeros((9, 3)), np.zeros((3, 3))), "9 real and 3 generated"),
        (lambda: Moments(2).add(NAN), "not finite"),
        (lambda: Moments(2).add(np.zeros((4, 3))), "width 2"),
        (lambda: Moments(2).covariance, "at least 2"),
        (lambda: frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3)), "same extractor"),
        (lambda: frechet_distance(NAN[0], np.eye(2), NAN[0], np.eye(2)), "not finite"),
    ],
)
def test_mistakes_are_sentences(broken, says):
    with pytest.raises(UserError, match=says):
        broken()
