"""What a thing is: hashes of configurations and seeds drawn from names, never from an order.

Every artefact of the graph is identified by the hash of the configuration that made it. The same
hash names a training's resume folder, stands in every file's attributes and in every result.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text per value, so that it can be hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def config_hash(value: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def seed_for(*parts: str | int) -> int:
    """A 63-bit seed determined by what is drawn, e.g. ``seed_for(2026, "noise", "jit", 17)``."""
    digest = hashlib.sha256(canonical_json(list(parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
