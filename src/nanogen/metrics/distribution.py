"""Scores of a set of images from its features or logits: MIND and the Inception Score."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nanogen.errors import UserError
from nanogen.metrics.frechet import require_finite

BLOCK_VALUES = 1 << 24  # projections held at once per set: 64 MiB of float32


def draw_directions(
    count: int, width: int, larger: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw unit vectors (count, width) float32, and a permutation to subsample the larger set.

    Both are drawn by torch's CPU generator, in this order, which reproduces published values exactly.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    order = None if larger is None else torch.randperm(larger, generator=generator).numpy()
    rows = torch.randn(count, width, generator=generator)
    rows = rows / rows.norm(dim=1, keepdim=True)
    return rows.numpy(), order


def _threads() -> int:
    """Return the number of threads of matrix products: OMP_NUM_THREADS if it is set."""
    import torch

    return torch.get_num_threads()


def _project(
    directions: np.ndarray, features: np.ndarray, into: np.ndarray, threads: ThreadPoolExecutor
) -> np.ndarray:
    """Compute the sorted projections (directions, n), in the first rows of ``into``."""
    projections = np.matmul(directions, features.T, out=into[: len(directions)])
    # the values of a direction are contiguous, and numpy sorts without holding the GIL
    parts = np.array_split(projections, _threads())
    list(threads.map(lambda part: part.sort(axis=1), parts))
    return projections


def mind(
    features_a: np.ndarray, features_b: np.ndarray, directions: int = 1000, seed: int = 2020
) -> float:
    """Compute MIND (arXiv 2605.06797), 3 d times the sliced squared 2-Wasserstein distance.

    This distance is the mean, over random unit directions, of the mean squared difference of the sorted
    projections.

    Features are (n, d) and (m, d); min(n, m) random rows of the larger set are compared. Directions are
    processed in blocks, so that memory does not grow with their number. Raises UserError if the widths
    differ, a set is empty or a value is not finite.
    """
    a, b = features_a, features_b
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UserError(
            f"features of shapes {a.shape} and {b.shape} cannot be compared: "
            "both must come from the same extractor"
        )
    count, width = min(len(a), len(b)), a.shape[1]
    if not count or directions < 1:
        raise UserError("MIND needs at least one image on both sides and one direction")
    larger = None if len(a) == len(b) else max(len(a), len(b))
    rows, order = draw_directions(directions, width, larger, seed)
    if order is not None:
        a, b = (x if len(x) == count else x[order[:count]] for x in (a, b))
    a, b = (np.ascontiguousarray(x, np.float32) for x in (a, b))
    require_finite(a, "the features")
    require_finite(b, "the reference features")
    block = min(directions, max(1, BLOCK_VALUES // count))
    # one buffer for all blocks: page faults in new ones would take as long as sorting
    held_a, held_b = np.empty((2, block, count), np.float32)
    total = 0.0
    with ThreadPoolExecutor(_threads()) as threads:
        for start in range(0, directions, block):
            part = rows[start : start + block]
            difference = _project(part, a, held_a, threads)
            difference -= _project(part, b, held_b, threads)
            total += float(np.einsum("ij,ij->i", difference, difference).sum(dtype=np.float64))
    return 3 * width * total / (directions * count)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def few_for_classes(count: int, splits: int, classes: int) -> str:
    """Return a warning if a split of the Inception Score has fewer images than classes, else "".

    The score cannot exceed the number of images in a split.
    """
    size = count // splits
    if size >= classes:
        return ""
    return (
        f"only {size} images in each of {splits} splits, so the score is at most {size}, not {classes}; "
        f"compare it with sets of {count} images only, or take {splits * classes} or more"
    )


def inception_score(logits: np.ndarray, splits: int = 10) -> float:
    """Compute the Inception Score (Salimans et al. 2016, arXiv 1606.03498): the mean of exp(mean KL).

    Logits are (n, classes). KL(p(y|x) || p(y)) in nats is computed within each split of n // splits
    images of a fixed permutation; the remaining n % splits images are not used. The score is between 1
    and the number of classes. Raises UserError for fewer images than splits and for values that are not
    finite.
    """
    logits = np.asarray(logits, np.float64)
    size = len(logits) // splits
    if size < 1:
        raise UserError(
            f"the Inception Score in {splits} splits needs at least {splits} images, "
            f"there are {len(logits)}: raise evaluation.images"
        )
    require_finite(logits, "the logits")
    order = np.random.RandomState(0).permutation(len(logits))
    scores = []
    for start in range(0, splits * size, size):
        log_p = _log_softmax(logits[order[start : start + size]])
        p = np.exp(log_p)
        marginal = np.log(p.mean(0).clip(min=np.finfo(np.float64).tiny))
        scores.append(np.exp((p * (log_p - marginal)).sum(1).mean()))
    return float(np.mean(scores))
