"""What every part of the configuration is: immutable, and closed to unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: immutable, and no key beyond those listed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
