"""One split of a ``data`` or ``inputs`` stage as typed values.

`nanogen.config.stages`, which is in a higher layer, writes the stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLACE_BYTES = 24  # of the location of an image that stays in its file


@dataclass(frozen=True, kw_only=True)
class DataStage:
    """The images of one split.

    Attributes:
        seed: seed of drawn scenes; None for other sources.
        name: the task that the data set belongs to.
        images: the number of images to draw, or the largest number to read.
        root: the folder of data that is not drawn; None or empty if it is not known.
        content: the identity of a user's files (`nanogen.data.content`); None for other data.

    The others are keys of `nanogen.config.schema.Data`.
    """

    hash: str
    seed: int | None
    split: str
    name: str
    source: str
    resolution: int
    images: int
    scene: str
    root: str | None
    file: str | None
    store: str
    caption_template: str
    unreadable: str
    content: str | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any], split: str | None = None) -> DataStage:
        """Read a stage. ``split`` is needed for an ``inputs`` stage, which describes both splits."""
        data, split = content["data"], split or content["split"]
        return cls(
            hash=content["hash"],
            seed=content.get("seed"),
            split=split,
            name=data["name"],
            source=data["source"],
            resolution=data["resolution"],
            images=data[f"{split}_images"],
            scene=data["scene"],
            root=data.get("root"),
            file=data.get("file"),
            store=data.get("store", "pixels"),
            caption_template=data.get("caption_template", ""),
            unreadable=data["unreadable"],
            content=content.get("content"),
        )


def pixel_bytes(count: int, side: int) -> int:
    """Return the bytes of ``count`` square images uint8 (side, side, 3)."""
    return 3 * count * side**2
