"""Scenes drawn at random: what each shows and where its objects stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from nanogen.data.scenes.scenes import (
    BACKGROUNDS,
    CLASSES,
    COLORS,
    MOST_OBJECTS,
    RADII,
    SHAPES,
    UNITS,
    Family,
    Radii,
    Scene,
    SceneObject,
    key,
    relation,
    split_of,
)
from nanogen.errors import UserError
from nanogen.identity import seed_for

# An object alone has room, and its shape is then plain to see in few pixels.
RADII_ALONE = {"small": (24, 27), "large": (36, 40)}
RADII_VARIED: Radii = {"small": (23, 29), "large": (34, 46)}  # of objects alone anywhere
_SMALL_ALONE = 0.4  # share of small ones among objects alone
_MARGIN = 2  # between an object and the image's edge
_GAP = 5  # between two objects' boxes: more than a pixel at 32 x 32
_LEAST_DETAIL = 0.25  # captions that say less teach less
_JITTER = 12  # largest deviation of a colour's channel


@dataclass(frozen=True)
class Spot:
    """Where an object's centre may lie: at most ``jitter`` units from (x, y) along each axis."""

    x: int
    y: int
    jitter: int


# A caption must change the expected image a lot for a small model to learn its words, so objects keep
# to few places: one at the centre, two side by side or one above the other, three in a triangle,
# four in the corners. One layout of as many places as there are objects is drawn.
_CENTRE = Spot(64, 64, 5)
_LAYOUTS: dict[int, tuple[tuple[tuple[int, int], ...], ...]] = {
    2: (((32, 64), (96, 64)), ((64, 32), (64, 96))),
    3: (((64, 32), (32, 96), (96, 96)), ((32, 32), (96, 32), (64, 96))),
    4: (((32, 32), (96, 32), (32, 96), (96, 96)),),
}
_COMPANY_JITTER = 3
_ANYWHERE = Spot(64, 64, UNITS)

Look = tuple[str, str, str]  # shape, colour, size
# What a scene shows, the six tags of GenEval in a fixed mixture. One object serves the tags
# single_object and colors and is nearly half of all, since words are learned there; "several" serves
# counting, and the last three their namesakes.
MIXTURE: tuple[Family, ...] = (
    *("one", "several", "one", "colors", "relation"),
    *("one", "colors", "one", "two", "one", "several"),
    *("one", "relation", "one", "colors", "one"),
    *("several", "two", "one", "relation"),
)


def _apart(first: SceneObject, second: SceneObject) -> bool:
    """Whether the boxes leave a gap along one axis."""
    (w, h), (other_w, other_h) = first.half, second.half
    return abs(first.x - second.x) >= w + other_w + _GAP or abs(first.y - second.y) >= h + other_h + _GAP


def _near(rng: np.random.Generator, rgb: tuple[int, int, int], by: int) -> tuple[int, int, int]:
    moved = zip(rgb, rng.integers(-by, by + 1, 3), strict=True)
    r, g, b = (max(0, min(255, channel + int(by_how_much))) for channel, by_how_much in moved)
    return r, g, b


def _object(
    rng: np.random.Generator,
    look: Look,
    spot: Spot,
    radii: Radii = RADII,
) -> SceneObject:
    """An object of that look at that spot, inside the image, its colour not yet varied."""
    shape, color, size = look
    low, high = radii[size]
    radius = int(rng.integers(low, high + 1))
    x, y = (_near_centre(rng, centre, spot.jitter, radius) for centre in (spot.x, spot.y))
    return SceneObject(shape, color, size, x, y, radius, COLORS[color])


def _near_centre(rng: np.random.Generator, centre: int, jitter: int, radius: int) -> int:
    """A coordinate near ``centre`` at which an object of that radius keeps its margin to the edge."""
    room = min(jitter, centre - radius - _MARGIN, UNITS - centre - radius - _MARGIN)
    return centre + int(rng.integers(-room, room + 1))


def _alone(
    rng: np.random.Generator, shape: str, color: str, spot: Spot = _CENTRE, radii: Radii = RADII_ALONE
) -> tuple[SceneObject]:
    """The one object of a scene."""
    size = "small" if rng.random() < _SMALL_ALONE else "large"
    return (_object(rng, (shape, color, size), spot, radii),)


def _looks(rng: np.random.Generator, family: Family) -> list[Look]:
    """Shape, colour and size of each object of a composed scene."""
    sizes = list(RADII)
    shapes = [SHAPES[i] for i in rng.permutation(len(SHAPES))]
    colors = [list(COLORS)[i] for i in rng.permutation(len(COLORS))]
    if family == "several":
        count = 2 + int(rng.integers(MOST_OBJECTS - 1))
        size = sizes[rng.integers(2)] if count == 2 else "small"
        return [(shapes[0], colors[0], size)] * count
    second = colors[1] if family == "colors" else colors[rng.integers(len(colors))]
    return [
        (shapes[0], colors[0], sizes[rng.integers(2)]),
        (shapes[1], second, sizes[rng.integers(2)]),
    ]


def _placed(
    rng: np.random.Generator, looks: Sequence[Look], *, shuffled: bool = False
) -> tuple[SceneObject, ...]:
    """Objects of these looks in one of the layouts for so many, none touching another.

    They stand as one reads, from left to right and from top to bottom, unless they are ``shuffled``.
    """
    layouts = _LAYOUTS[len(looks)]
    while True:
        places = layouts[rng.integers(len(layouts))]
        order = rng.permutation(len(places)) if shuffled else range(len(places))
        spots = [Spot(*places[i], _COMPANY_JITTER) for i in order]
        if placed := _at(rng, looks, spots):
            return placed


def _at(
    rng: np.random.Generator, looks: Sequence[Look], spots: Sequence[Spot]
) -> tuple[SceneObject, ...] | None:
    """Objects of these looks at these spots; None if two of them touch."""
    placed = tuple(_object(rng, look, spot) for look, spot in zip(looks, spots, strict=True))
    return placed if all(_apart(one, other) for one, other in combinations(placed, 2)) else None


def _varied(rng: np.random.Generator, family: Family) -> tuple[SceneObject, ...]:
    """Objects anywhere in the image."""
    if family == "one":
        color, shape = CLASSES[rng.integers(len(CLASSES))].split()
        return _alone(rng, shape, color, _ANYWHERE, RADII_VARIED)
    looks = _looks(rng, family)
    while (placed := _at(rng, looks, [_ANYWHERE] * len(looks))) is None:
        pass
    return placed


def _objects(rng: np.random.Generator, family: Family) -> tuple[SceneObject, ...]:
    if family == "one":
        color, shape = CLASSES[rng.integers(len(CLASSES))].split()
        return _alone(rng, shape, color)
    looks = _looks(rng, family)
    return _placed(rng, looks, shuffled=family == "relation")


def _scene(rng: np.random.Generator, kind: str, index: int) -> Scene:
    """Draw one scene; what it shows follows from ``index``, so that kinds are balanced."""
    if kind == "single":
        family: Family = "one"
        color, shape = CLASSES[index % len(CLASSES)].split()
        objects: tuple[SceneObject, ...] = _alone(rng, shape, color)
    else:
        family = MIXTURE[index % len(MIXTURE)]
        objects = _varied(rng, family) if kind == "varied" else _objects(rng, family)
    return _tinted(rng, objects, family)


def _tinted(rng: np.random.Generator, objects: tuple[SceneObject, ...], family: Family) -> Scene:
    """The scene of these objects: each its own shade of its colour, on a background."""
    objects = tuple(replace(o, rgb=_near(rng, o.rgb, _JITTER)) for o in objects)
    background = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    low, high = BACKGROUNDS[background]
    level = int(rng.integers(low, high + 1))
    tint = _near(rng, (level, level, level), 3)
    return Scene(
        objects, background, tint, family, _LEAST_DETAIL + (1 - _LEAST_DETAIL) * float(rng.random())
    )


def arranged(rng: np.random.Generator, looks: Sequence[Look], where: str | None = None) -> Scene:
    """A scene of objects of these looks, in places as in composed scenes.

    ``where``, one of RELATIONS, says where the first lies as seen from the second. Raises UserError
    where there are more objects than places.
    """
    if len(looks) > MOST_OBJECTS:
        raise UserError(f"a scene has room for {MOST_OBJECTS} objects, not for {len(looks)}")
    if len(looks) == 1:
        return _tinted(rng, (_object(rng, looks[0], _CENTRE, RADII_ALONE),), "one")
    while True:
        placed = _placed(rng, looks, shuffled=True)
        if where is None or relation(placed[0], placed[1]) == where:
            return _tinted(rng, placed, "relation" if where else "two")


def draw(seed: int, split: str, kind: str, count: int) -> Iterator[Scene]:
    """Yield ``count`` distinct scenes of one split.

    ``kind``: ``single`` (one object, the classes in turn), ``composed`` (MIXTURE in turn) or ``varied``
    (MIXTURE in turn, objects anywhere in the image). Scene i is drawn from its own generator until it
    falls into the split and repeats none before it, so the first scenes are the same whatever the
    count. Raises UserError where no new scene is found.
    """
    seen: set[str] = set()
    for index in range(count):
        rng = np.random.default_rng(seed_for(seed, "scene", split, kind, index))
        for _ in range(1000):
            scene = _scene(rng, kind, index)
            if split_of(scene) == split and key(scene) not in seen:
                break
        else:
            raise UserError(
                f"data: there are not {count} distinct {kind} scenes for the split {split} "
                f"(found {index}); lower data.{split}_images"
            )
        seen.add(key(scene))
        yield scene
