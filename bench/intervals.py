"""How often does a 95 % bootstrap interval of Pearson's r contain the true r?

    python bench/intervals.py [--runs 600]

Draws about as many pairs as the paper's tables have methods, with a known r, from normal distributions
or with a skewed first variable. A percentile, a BCa and an expanded percentile interval are computed
from the same resamples. `nanogen.statistics.bootstrap` uses the one whose share is nearest to 0.95.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import norm

from nanogen.statistics import bootstrap
from nanogen.statistics.coefficients import pearson

KINDS = ("percentile", "BCa", "expanded")


def intervals(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The three intervals of r of x and y (n,)."""
    n = len(x)
    values = pearson(bootstrap.samples(n, seed), x, y)
    values = values[np.isfinite(values)]
    (whole,) = pearson(np.ones((1, n)), x, y)
    without = pearson(1 - np.eye(n), x, y)
    bias = norm.ppf(np.clip((values < whole).mean(), 1e-6, 1 - 1e-6))
    skew = without.mean() - without
    acceleration = (skew**3).sum() / (6 * (skew**2).sum() ** 1.5)
    shifted = bias + norm.ppf([0.025, 0.975])
    corrected = norm.cdf(bias + shifted / (1 - acceleration * shifted))
    at = {"percentile": (0.025, 0.975), "BCa": corrected, "expanded": bootstrap.expanded(n)}
    return {kind: np.quantile(values, quantiles) for kind, quantiles in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=600)
    runs = parser.parse_args().runs
    bootstrap.RESAMPLES = 1000
    print(f"{'pairs':10}{'r':>6}{'n':>4}" + "".join(f"{kind:>12}" for kind in KINDS))
    for shape in ("normal", "skewed"):
        for rho in (0.0, -0.55, -0.8):
            for n in (8, 12, 21):
                held = dict.fromkeys(KINDS, 0)
                for run in range(runs):
                    rng = np.random.default_rng(run)
                    x = rng.normal(size=n) if shape == "normal" else rng.exponential(size=n) - 1
                    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
                    for kind, (low, high) in intervals(x, y, run).items():
                        held[kind] += low <= rho <= high
                shares = "".join(f"{held[kind] / runs:12.3f}" for kind in KINDS)
                print(f"{shape:10}{rho:6.2f}{n:4}{shares}", flush=True)


if __name__ == "__main__":
    main()
