"""Scenes: coloured shapes on a plain background, described exactly.

A scene consists of a few integers in units of 1/128 of the image's side, so that it is the same at every
resolution. ``nanogen.data.scenes.draw`` draws scenes at random, ``nanogen.data.scenes.render`` renders
images of them, and ``nanogen.data.scenes.captions`` describes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanogen.identity import config_hash

SHAPES = ("circle", "square", "triangle", "cross")
COLORS = {
    "red": (215, 45, 45),
    "green": (50, 165, 70),
    "blue": (45, 85, 215),
    "yellow": (238, 205, 45),
    "purple": (150, 60, 185),
}
Radii = dict[str, tuple[int, int]]
# Range in scenes of several objects, in units of 1/128 side, both ends included; four objects fit.
RADII: Radii = {"small": (18, 21), "large": (25, 28)}
BACKGROUNDS = {"light grey": (220, 228), "white": (244, 252)}  # levels, both ends included
CLASSES = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)
RELATIONS = ("left of", "right of", "above", "below")
MOST_OBJECTS = 4

UNITS = 128  # per side of the image
_HALF = {  # half width and half height of a shape of radius 1
    "circle": (1.0, 1.0),
    "square": (0.875, 0.875),
    "triangle": (1.0, 0.875),
    "cross": (1.0, 1.0),
}
_VAL_SHARE = 64  # number of scenes in 256 that are for validation
Family = Literal["one", "several", "two", "relation", "colors"]


@dataclass(frozen=True)
class SceneObject:
    """One shape: centre of its box and radius in units of 1/128 side; its own RGB (0..255)."""

    shape: str
    color: str
    size: str
    x: int
    y: int
    radius: int
    rgb: tuple[int, int, int]

    @property
    def half(self) -> tuple[float, float]:
        """Half of the width and height of its box, in units."""
        width, height = _HALF[self.shape]
        return width * self.radius, height * self.radius

    @property
    def name(self) -> str:
        """Its class, such as ``red circle``."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Objects in the order in which captions mention them; ``detail`` in 0..1 is that of short ones."""

    objects: tuple[SceneObject, ...]
    background: str
    background_rgb: tuple[int, int, int]
    family: Family
    detail: float

    @property
    def label(self) -> int:
        """The index of the first object's class in CLASSES."""
        return CLASSES.index(self.objects[0].name)


def key(scene: Scene) -> str:
    """Return a key that is equal for scenes with the same objects in any order, shade and background."""
    return config_hash(sorted((o.name, o.x, o.y, o.radius) for o in scene.objects))


def split_of(scene: Scene) -> str:
    """Return ``train`` or ``val``, which depends on the scene, so that splits have none in common."""
    return "val" if int(key(scene)[:2], 16) < _VAL_SHARE else "train"


def relation(first: SceneObject, second: SceneObject) -> str | None:
    """Return the position of ``first`` relative to ``second``, one of RELATIONS; None if not clear.

    It is clear if their boxes do not overlap along one axis and the offset along this axis is at least
    twice the offset along the other.
    """
    dx, dy = first.x - second.x, first.y - second.y
    if abs(dx) >= 2 * abs(dy) and abs(dx) >= first.half[0] + second.half[0]:
        return "left of" if dx < 0 else "right of"
    if abs(dy) >= 2 * abs(dx) and abs(dy) >= first.half[1] + second.half[1]:
        return "above" if dy < 0 else "below"
    return None
