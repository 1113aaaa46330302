"""Coefficients against scipy, simulated intervals, permutations and leaving one out."""

import warnings

import numpy as np
import pytest
from scipy import stats

from nanogen.statistics import bootstrap, coefficients
from nanogen.statistics.relation import relate


def _pairs(n, rho=-0.55, seed=0):
    x, noise = np.random.default_rng(seed).normal(size=(2, n))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


@pytest.mark.parametrize(
    ("name", "reference"),
    [("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)],
)
def test_a_weighted_sample_has_the_coefficient_of_the_pairs_it_repeats(name, reference):
    x, y = np.round(_pairs(12), 1)  # rounded, so that there are ties
    counts = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=20)
    found = coefficients.COEFFICIENTS[name](counts.astype(float), x, y)
    expected = [reference(np.repeat(x, c), np.repeat(y, c)).statistic for c in counts]
    assert found == pytest.approx(expected, abs=1e-9)


def test_large_numbers_with_little_spread_keep_their_coefficient():
    x, y = _pairs(10)
    r = coefficients.pearson(np.ones((1, 10)), 1e6 + x, 1e-6 * y - 3)
    assert r == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


def test_relations_coefficients_and_p_values_are_scipys():
    x, y = _pairs(21)
    found = relate([str(i) for i in range(21)], x, y, "test")
    for estimate, reference in (
        (found.pearson, stats.pearsonr(x, y)),
        (found.spearman, stats.spearmanr(x, y)),
        (found.kendall, stats.kendalltau(x, y)),
    ):
        assert estimate.value == pytest.approx(reference.statistic)
        assert estimate.p == pytest.approx(reference.pvalue)
        low, high = estimate.interval
        assert low < estimate.value < high


def test_the_quantiles_of_the_bootstrap_are_scipys():
    x, y = _pairs(21)
    found = coefficients.pearson(bootstrap.samples(21, seed=1), x, y)
    by_scipy = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False,
        n_resamples=2000, method="percentile", rng=np.random.default_rng(2),
    )  # fmt: skip
    low, high = np.quantile(found, [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(by_scipy.confidence_interval), abs=0.03)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_95_of_100_intervals_hold_the_true_coefficient(name, monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 600)
    rho, runs = -0.55, 500
    truth = rho if name == "pearson" else 6 / np.pi * np.arcsin(rho / 2)
    held = 0
    for run in range(runs):
        x, y = _pairs(21, rho, seed=run)
        low, high = bootstrap.interval(coefficients.COEFFICIENTS[name], x, y, bootstrap.samples(21, run))
        held += low <= truth <= high
    assert 0.92 <= held / runs <= 0.98


def test_few_pairs_have_no_interval_and_two_no_relation():
    x, y = _pairs(7)
    found = relate(list("abcdefg"), x, y, "test")
    assert found.pearson.interval is None
    assert found.range is not None
    assert relate(["a", "b"], [1, 2], [3, 4], "test") is None


def test_a_constant_column_has_no_coefficient_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = relate(list("abcdef"), [1] * 6, [1, 2, 3, 4, 5, 6], "test")
    assert np.isnan(found.pearson.value)
    assert found.pearson.interval is None
    assert np.isnan(found.permutation_p)


def test_permutations_of_few_pairs_are_counted_exactly():
    # Four numbers have 24 orders; only this one and its reverse give a coefficient this far from 0.
    assert bootstrap.permutation_p(np.arange(4.0), np.array([1.0, 2, 4, 9]), 0) == pytest.approx(2 / 24)


def test_permutation_and_student_agree_for_normal_pairs():
    x, y = _pairs(21)
    assert bootstrap.permutation_p(x, y, 0) == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.01)


def test_leaving_one_out_names_the_outlier():
    x = np.array([1.0, 2, 3, 4, 5, 20])
    y = np.array([2.0, 1, 2, 1, 2, 30])
    found = relate(list("abcdef"), x, y, "test")
    assert found.most_influential.name == "f"
    assert found.most_influential.without == pytest.approx(np.corrcoef(x[:5], y[:5])[0, 1], abs=1e-9)
    assert found.range[1] <= 1


def test_the_same_question_has_the_same_interval():
    x, y = _pairs(21)
    names = [str(i) for i in range(21)]
    first, again, other = (relate(names, x, y, what) for what in ("a", "a", "b"))
    assert first == again
    assert first.pearson.interval != other.pearson.interval
