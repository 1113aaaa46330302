"""Scenes that fulfil a prompt, as an ideal text-to-image model would draw them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nanogen.data.scenes.draw import arranged
from nanogen.data.scenes.scenes import COLORS, RADII, Scene
from nanogen.prompts.contents import pick

ROOM_FOR_LARGE = 2  # objects; more of them must be small


def scene_of(prompt: Mapping[str, Any], rng: np.random.Generator) -> Scene:
    """Draw a scene that fulfils the prompt's ``include`` and shows nothing else.

    Colours and sizes that the prompt does not give are random, but equal for all objects of a kind.
    Raises UserError if there are too many objects for a scene.
    """
    wanted = prompt["include"]
    crowded = sum(item["count"] for item in wanted) > ROOM_FOR_LARGE
    kinds = [
        (
            item["class"],
            item.get("color") or pick(rng, list(COLORS)),
            item.get("size") or ("small" if crowded else pick(rng, list(RADII))),
        )
        for item in wanted
    ]
    where = next((item["position"][0] for item in wanted if "position" in item), None)
    looks = [kind for kind, item in zip(kinds, wanted, strict=True) for _ in range(item["count"])]
    # in the metadata, the object with the relation comes second
    return arranged(rng, looks[::-1] if where else looks, where)
