"""A stage's dictionary, its hash, and the versions of all stages."""

from __future__ import annotations

from typing import Any

from nanogen.identity import config_hash

VERSIONS = {
    "inputs": 1,
    "data": 3,
    "prompts": 2,
    "model": 4,
    "latents": 1,
    "text": 1,
    "vision": 1,
    "train": 3,
    "online": 1,
    "reconstruction": 1,
    "sample": 1,
    "guidance": 1,
    "features": 2,
    "reference": 2,
    "distribution": 2,
    "geneval": 1,
    "questions": 1,
    "question_scores": 1,
    "simpleeval": 1,
}
Stage = dict[str, Any]


def stage_of(name: str, expects: dict[str, str], **keys: Any) -> Stage:
    """A stage with its hash; ``expects`` are the hashes of what it reads."""
    content = {"stage": name, "version": VERSIONS[name], "expects": expects, **keys}
    return {**content, "hash": config_hash(content)}
