"""Placement of the names of crowded points: near their point, away from everything else.

Each label has several possible places around its point. In turn, and several times over, every label
moves to the place with the lowest cost given all others. There is no randomness: the same points give
the same figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ANGLES = np.deg2rad(np.arange(0, 360, 15))
_REACH = np.array([0.0, 2.0, 5.0, 9.0, 14.0, 20.0, 27.0, 35.0, 44.0, 54.0])  # in tenths of a line
_SWEEPS = 10
_PLACES = 120  # number of places tried per label: those with the lowest fixed cost
# Costs of a place; a distance from the point of a tenth of a line's height costs 1.
_OUTSIDE = 1e5
_OVERLAP = (400.0, 300.0)  # touching another label, and per share of the area
_ON_POINT = (40.0, 120.0)
_ON_TREND = 12.0
_LEADER_THROUGH_LABEL = 50.0
_LEADER_THROUGH_POINT = 50.0
_NOT_BESIDE = 2.0
_NEARER_ANOTHER = 15.0  # a label that is closer to another point is read as that point's


def nearest_on_box(point: np.ndarray, centres: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The points (k, 2) of boxes at ``centres`` (k, 2) that are nearest to ``point`` (2,)."""
    return np.clip(point, centres - size / 2, centres + size / 2)


def _around(point: np.ndarray, size: np.ndarray, gap: float, unit: float) -> np.ndarray:
    """Centres (k, 2) of a box of ``size`` (2,) around ``point`` (2,)."""
    direction = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    reach = gap + unit * _REACH[:, None, None]
    # the box's centre is half a box beyond the reach, so that its near side is at the reach
    return (point + direction * reach + np.clip(direction * 1.3, -1, 1) * size / 2).reshape(-1, 2)


def _shared(centres: np.ndarray, size: np.ndarray, others: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Shares (k, m) of the smaller box that boxes at ``centres`` and ``others`` have in common."""
    room = (size + sizes) / 2 - np.abs(centres[:, None, :] - others[None, :, :])
    smaller = np.minimum(size.prod(), sizes.prod(axis=-1)).clip(1e-9)
    return np.clip(room, 0, None).prod(axis=-1) / smaller


def _weighed(shares: np.ndarray, weights: tuple[float, float]) -> np.ndarray:
    return weights[0] * (shares > 0).sum(axis=1) + weights[1] * shares.sum(axis=1)


def _on_line(starts: np.ndarray, ends: np.ndarray, boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whether lines from ``starts`` to ``ends`` (k, 2) run through ``boxes`` (m, 2): (k, m)."""
    along = np.linspace(0.1, 1.0, 14)[:, None, None]
    samples = starts + along * (ends - starts)[None]  # (14, k, 2)
    return np.any(_within(samples[:, :, None, :], boxes, sizes / 2), axis=0)


def _within(places: np.ndarray, centres: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Whether places (..., 2) are in boxes; axis by axis, much faster than a reduction over two."""
    across, up = (np.abs(places[..., i] - centres[..., i]) < half[..., i] for i in (0, 1))
    return across & up


@dataclass(frozen=True)
class _Scene:
    """Everything that does not move, and each label's possible places with their fixed cost."""

    points: np.ndarray
    sizes: np.ndarray
    places: list[np.ndarray]
    fixed: list[np.ndarray]
    margin: float

    def cost(self, index: int, centres: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The cost (k,) of label ``index`` at ``centres`` (k, 2), with the others at ``chosen``."""
        rest = np.arange(len(self.points)) != index
        size, others, sizes = self.sizes[index], chosen[rest], self.sizes[rest]
        cost = _weighed(_shared(centres, size + self.margin, others, sizes), _OVERLAP)
        own = nearest_on_box(self.points[index], centres, size)
        start = np.broadcast_to(self.points[index], own.shape)
        through = _on_line(start, own, others, sizes).sum(axis=1)
        ends = np.clip(self.points[rest], others - sizes / 2, others + sizes / 2)
        box = np.broadcast_to(size, centres.shape)
        through = through + _on_line(self.points[rest], ends, centres, box).sum(axis=0)
        return cost + _LEADER_THROUGH_LABEL * through


def _fixed_cost(
    index: int,
    centres: np.ndarray,
    points: np.ndarray,
    size: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    marker: float,
    trend: np.ndarray,
    unit: float,
) -> np.ndarray:
    """The cost (k,) of each of a label's places (k, 2) that does not depend on other labels."""
    point, dots = points[index], np.full_like(points, marker)
    out = np.clip(bounds[0] - (centres - size / 2), 0, None)
    out = out + np.clip(centres + size / 2 - bounds[1], 0, None)
    ends = nearest_on_box(point, centres, size)
    away = np.linalg.norm(ends - point, axis=1)
    cost = _OUTSIDE * (out.sum(axis=1) > 0) + away / unit
    off = np.clip(np.abs(points[None] - centres[:, None]) - size / 2, 0, None)
    nearer = np.linalg.norm(off, axis=-1) < np.minimum(away[:, None], marker + 3 * unit) - 1e-6
    cost += _NEARER_ANOTHER * nearer.sum(axis=1)
    cost += _weighed(_shared(centres, size, points, dots), _ON_POINT)
    others = np.arange(len(points)) != index
    start = np.broadcast_to(point, ends.shape)
    through = _on_line(start, ends, points[others], dots[others])
    cost += _LEADER_THROUGH_POINT * through.sum(axis=1)
    if len(trend):
        cost += _ON_TREND * _within(trend[None], centres[:, None], size / 2).any(axis=1)
    return cost + _NOT_BESIDE * (np.abs(centres[:, 1] - point[1]) > size[1] * 0.6)


def _settle(scene: _Scene, order: np.ndarray) -> tuple[float, np.ndarray]:
    """Let the labels choose in ``order`` until none moves; the total cost and their centres."""
    chosen = np.stack([p[np.argmin(c)] for p, c in zip(scene.places, scene.fixed, strict=True)])
    for _ in range(_SWEEPS):
        before = chosen.copy()
        for index in order:
            cost = scene.fixed[index] + scene.cost(index, scene.places[index], chosen)
            chosen[index] = scene.places[index][np.argmin(cost)]
        if np.array_equal(before, chosen):
            break
    total = 0.0
    for index in order:
        at = int(np.flatnonzero((scene.places[index] == chosen[index]).all(axis=1))[0])
        total += scene.fixed[index][at] + scene.cost(index, chosen[index][None], chosen)[0]
    return total, chosen


def place(
    points: np.ndarray,
    sizes: np.ndarray,
    bounds: tuple[float, float, float, float],
    marker: float,
    trend: np.ndarray | None = None,
) -> np.ndarray:
    """Centres (n, 2) of the labels' boxes.

    Args:
        points: (n, 2) positions; all lengths are in one unit, e.g. typographic points.
        sizes: (n, 2) widths and heights of the labels.
        bounds: left, bottom, right, top of the area that labels must stay in.
        marker: diameter of the points' markers.
        trend: (m, 2) points of a line that labels should not cover.
    """
    points, sizes = np.asarray(points, float), np.asarray(sizes, float)
    if not len(points):
        return points
    trend = np.empty((0, 2)) if trend is None else trend
    unit = float(sizes[:, 1].mean()) / 10
    area = (np.array(bounds[:2]), np.array(bounds[2:]))
    places, fixed = [], []
    for index, (point, size) in enumerate(zip(points, sizes, strict=True)):
        centres = _around(point, size, marker / 2 + 2 * unit, unit)
        cost = _fixed_cost(index, centres, points, size, area, marker, trend, unit)
        best = np.argsort(cost, kind="stable")[:_PLACES]
        places.append(centres[best])
        fixed.append(cost[best])
    scene = _Scene(points, sizes, places, fixed, margin=unit)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    crowded = np.argsort(np.sort(apart, axis=1)[:, 1:4].sum(axis=1), kind="stable")
    by_height = np.argsort(points[:, 1], kind="stable")
    orders = [crowded, crowded[::-1], by_height, by_height[::-1]]
    return min((_settle(scene, order) for order in orders), key=lambda result: result[0])[1]
