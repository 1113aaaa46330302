"""Captions of scenes: short ones with more or less detail, and dense ones that describe everything.

The evaluation's prompts are worded like the short captions, so ``nanogen.prompts.prompts`` uses the
phrases below.
"""

from __future__ import annotations

from collections.abc import Sequence

from nanogen.data.scenes.scenes import UNITS, Scene, SceneObject, relation

COUNTS = {2: "two", 3: "three", 4: "four"}
_PLURALS = {"cross": "crosses"}


def noun(shape: str, color: str | None = None, size: str | None = None, count: int = 1) -> str:
    """Return a noun phrase without article: ``red circle``, ``small crosses``."""
    last = shape if count == 1 else _PLURALS.get(shape, f"{shape}s")
    return " ".join(word for word in (size, color, last) if word)


def one(shape: str, color: str | None = None, size: str | None = None) -> str:
    """Return a phrase such as ``a circle``, ``a red circle`` or ``a large circle``."""
    return f"a {noun(shape, color, size)}"


def several(count: int, shape: str, color: str | None = None) -> str:
    """Return a phrase such as ``three squares`` or ``three blue squares``; count is 2, 3 or 4."""
    return f"{COUNTS[count]} {noun(shape, color, count=count)}"


def pair(first: str, second: str, joined: str = "and") -> str:
    """Return a phrase such as ``a circle and a square`` or ``a red circle left of a blue square``."""
    return f"{first} {joined} {second}"


def short(scene: Scene) -> str:
    """Return a true caption of a few words; ``scene.detail`` determines how much it describes."""
    first = scene.objects[0]
    detail = scene.detail
    if scene.family == "one":
        color = first.color if detail >= 0.4 else None
        size = first.size if 0.2 <= detail < 0.4 or detail >= 0.85 else None
        return one(first.shape, color, size)
    if scene.family == "several":
        color = first.color if detail >= 0.5 else None
        return several(len(scene.objects), first.shape, color)
    second = scene.objects[1]
    colored = scene.family == "colors" or (scene.family == "relation" and detail >= 0.4)
    joined = relation(first, second) if scene.family == "relation" else None
    return pair(
        one(first.shape, first.color if colored else None),
        one(second.shape, second.color if colored else None),
        joined or "and",
    )


def place(item: SceneObject) -> str:
    """Return which third of the image the object's centre is in: ``top left``, ``center``, ``right``."""
    vertical = ("top", "", "bottom")[3 * item.y // UNITS]
    horizontal = ("left", "", "right")[3 * item.x // UNITS]
    return f"{vertical} {horizontal}".strip() or "center"


def _list(phrases: Sequence[str]) -> str:
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else phrases[0]


def dense(scene: Scene) -> str:
    """Return two or three sentences with count, colour, size, position, relation and background."""
    first, *others = scene.objects
    ground = f"The background is {scene.background}."
    if not others:
        phrase = noun(first.shape, first.color, first.size)
        return f"There is one {phrase} at the {place(first)}. {ground}"
    if scene.family == "several":
        phrase = noun(first.shape, first.color, first.size, count=len(scene.objects))
        places = _list([f"one is at the {place(item)}" for item in scene.objects])
        return f"There are {COUNTS[len(scene.objects)]} {phrase}: {places}. {ground}"
    phrases = _list([f"{one(o.shape, o.color, o.size)} at the {place(o)}" for o in scene.objects])
    sentences = [f"There are two objects: {phrases}."]
    where = relation(first, others[0])
    if where:
        sentences.append(f"The {first.shape} is {where} the {others[0].shape}.")
    return " ".join([*sentences, ground])
