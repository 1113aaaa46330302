"""The stages ``latents``, ``text`` and ``vision`` as typed values, for the code that writes caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nanogen.config.model_schema import Model
from nanogen.config.stage_values import typed


@dataclass(frozen=True, kw_only=True)
class CacheStage:
    """The output of a frozen network on a data set.

    Attributes:
        expects: hashes of its inputs, by name.
        dtype: type of the numbers in the cache.
        model: the network.
        part: which features of a vision encoder; None for other networks.
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
