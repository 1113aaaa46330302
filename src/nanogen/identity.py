"""Hashes of configurations, and seeds that are derived from names and never from an order.

Every artefact of the graph is identified by the hash of the configuration that made it. The same hash
names a training's resume folder and is stored in every file's attributes and in every result.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, so that equal values have the same text and hash."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def config_hash(value: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def seed_for(*parts: str | int) -> int:
    """Return a 63-bit seed derived from what is drawn, e.g. ``seed_for(2026, "noise", "jit", 17)``."""
    digest = hashlib.sha256(canonical_json(list(parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
