"""What the stages ``latents``, ``text`` and ``vision`` say, as the code that writes caches reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nanogen.config.model_schema import Model
from nanogen.config.stage_values import typed


@dataclass(frozen=True, kw_only=True)
class CacheStage:
    """What a frozen network makes of a data set.

    Attributes:
        expects: hashes of what it reads.
        dtype: of the numbers in the cache.
        model: the network.
        part: of a vision encoder's features; None of other networks.
    """

    hash: str
    expects: Mapping[str, str]
    dtype: str
    model: Model
    part: Literal["cls", "patches"] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CacheStage:
        """Read a stage, which may be an older version's."""
        return typed(cls, content)
