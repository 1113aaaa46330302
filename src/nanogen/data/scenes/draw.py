"""Draw random scenes: their objects and positions."""

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

# A single object can be larger, which makes its shape visible even at few pixels.
RADII_ALONE = {"small": (24, 27), "large": (36, 40)}
RADII_VARIED: Radii = {"small": (23, 29), "large": (34, 46)}  # of single objects anywhere in the image
_SMALL_ALONE = 0.4  # fraction of small ones among single objects
_MARGIN = 2  # between an object and the image's edge
_GAP = 5  # between two objects' boxes: more than a pixel at 32 x 32
_LEAST_DETAIL = 0.25  # less detailed captions teach less
_JITTER = 12  # largest deviation of a colour's channel


@dataclass(frozen=True)
class Spot:
    """The possible positions of an object's centre: up to ``jitter`` units from (x, y) on each axis."""

    x: int
    y: int
    jitter: int


# A small model learns a caption's words only if they change the expected image a lot. Objects therefore
# have few possible places: one object at the centre, two side by side or one above the other, three in a
# triangle, four in the corners. For each scene one of the layouts for its number of objects is drawn.
_CENTRE = Spot(64, 64, 5)
_LAYOUTS: dict[int, tuple[tuple[tuple[int, int], ...], ...]] = {
    2: (((32, 64), (96, 64)), ((64, 32), (64, 96))),
    3: (((64, 32), (32, 96), (96, 96)), ((32, 32), (96, 32), (64, 96))),
    4: (((32, 32), (96, 32), (32, 96), (96, 96)),),
}
_COMPANY_JITTER = 3
_ANYWHERE = Spot(64, 64, UNITS)

Look = tuple[str, str, str]  # shape, colour, size
# The kinds of scenes, in a fixed mixture that covers GenEval's six tags. Scenes of one object are for
# the tags single_object and colors, and are nearly half of all, since words are learned from them;
# "several" is for counting, "two" for two_object, "relation" for position and "colors" for color_attr.
MIXTURE: tuple[Family, ...] = (
    *("one", "several", "one", "colors", "relation"),
    *("one", "colors", "one", "two", "one", "several"),
    *("one", "relation", "one", "colors", "one"),
    *("several", "two", "one", "relation"),
)


def _apart(first: SceneObject, second: SceneObject) -> bool:
    """Whether there is a gap between the boxes along at least one axis."""
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
    """Return an object of this look at this spot, inside the image, in the exact named colour."""
    shape, color, size = look
    low, high = radii[size]
    radius = int(rng.integers(low, high + 1))
    x, y = (_near_centre(rng, centre, spot.jitter, radius) for centre in (spot.x, spot.y))
    return SceneObject(shape, color, size, x, y, radius, COLORS[color])


def _near_centre(rng: np.random.Generator, centre: int, jitter: int, radius: int) -> int:
    """Draw a coordinate near ``centre`` that keeps an object of this radius off the image's edge."""
    room = min(jitter, centre - radius - _MARGIN, UNITS - centre - radius - _MARGIN)
    return centre + int(rng.integers(-room, room + 1))


def _alone(
    rng: np.random.Generator, shape: str, color: str, spot: Spot = _CENTRE, radii: Radii = RADII_ALONE
) -> tuple[SceneObject]:
    """Draw the object of a scene with a single one."""
    size = "small" if rng.random() < _SMALL_ALONE else "large"
    return (_object(rng, (shape, color, size), spot, radii),)


def _looks(rng: np.random.Generator, family: Family) -> list[Look]:
    """Draw shape, colour and size of each object of a composed scene."""
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
    """Place objects of these looks in one of the layouts for their number, so that none touch.

    They are arranged in reading order, left to right and top to bottom, unless ``shuffled``.
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
    """Place objects of these looks at these spots; None if two of them touch."""
    placed = tuple(_object(rng, look, spot) for look, spot in zip(looks, spots, strict=True))
    return placed if all(_apart(one, other) for one, other in combinations(placed, 2)) else None


def _varied(rng: np.random.Generator, family: Family) -> tuple[SceneObject, ...]:
    """Draw objects anywhere in the image."""
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
    """Draw one scene. ``index`` determines its kind, so that kinds are balanced."""
    if kind == "single":
        family: Family = "one"
        color, shape = CLASSES[index % len(CLASSES)].split()
        objects: tuple[SceneObject, ...] = _alone(rng, shape, color)
    else:
        family = MIXTURE[index % len(MIXTURE)]
        objects = _varied(rng, family) if kind == "varied" else _objects(rng, family)
    return _tinted(rng, objects, family)


def _tinted(rng: np.random.Generator, objects: tuple[SceneObject, ...], family: Family) -> Scene:
    """Return the scene of these objects on a random background, each in a shade of its colour."""
    objects = tuple(replace(o, rgb=_near(rng, o.rgb, _JITTER)) for o in objects)
    background = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    low, high = BACKGROUNDS[background]
    level = int(rng.integers(low, high + 1))
    tint = _near(rng, (level, level, level), 3)
    return Scene(
        objects, background, tint, family, _LEAST_DETAIL + (1 - _LEAST_DETAIL) * float(rng.random())
    )


def arranged(rng: np.random.Generator, looks: Sequence[Look], where: str | None = None) -> Scene:
    """Draw a scene of objects of these looks, at positions as in composed scenes.

    ``where``, one of RELATIONS, is the position of the first object relative to the second. Raises
    UserError if there are more objects than places.
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

    ``kind`` is ``single`` (one object, cycling through the classes), ``composed`` (cycling through
    MIXTURE) or ``varied`` (the same, with objects anywhere in the image). Scene i has a generator of its
    own and is redrawn until it belongs to the split and equals no earlier scene, so the first scenes do
    not depend on the count. Raises UserError if no new scene is found.
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
