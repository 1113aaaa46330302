"""A stage's dictionary, its hash, and the versions of all stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen.config import schema
from nanogen.config.model_schema import Model
from nanogen.config.section import Section, completed, identity
from nanogen.identity import config_hash

VERSIONS = {
    "inputs": 1,
    "data": 3,
    "prompts": 2,
    "model": 4,
    "model: rae": 6,
    "model: end to end": 5,
    "latents": 1,
    "text": 1,
    "vision": 2,
    "train": 3,
    "online": 1,
    "reconstruction": 1,
    "sample": 1,
    "guidance": 1,
    "features": 2,
    "reference": 2,
    "distribution": 2,
    "geneval": 2,
    "questions": 1,
    "question_scores": 2,
    "simpleeval": 2,
    "clip_score": 1,
    "image_text": 1,
    "caption_reference": 1,
    "caption_fid": 1,
}
# The section behind a key of a stage: one, a list of them, or (`BY_NAME`) several by name.
SECTIONS: dict[str, type[Section]] = {
    "backbone": schema.Backbone,
    "color_classifier": Model,
    "conditioner": schema.Conditioner,
    "data": schema.Data,
    "detector": Model,
    "extractor": Model,
    "extractors": Model,
    "matcher": Model,
    "model": Model,
    "objective": schema.Objective,
    "perceptual": Model,
    "pipeline": Model,
    "sampling": schema.Sampling,
    "scorer": Model,
    "tokenizer": Model,
    "training": schema.Training,
}
BY_NAME: dict[str, type[Section]] = {"models": Model, "networks": Model}
INSIDE = ("joint", "train")  # keys whose value holds the keys of another stage
Stage = dict[str, Any]


def stage_of(name: str, expects: dict[str, str], **keys: Any) -> Stage:
    """A stage with its hash; ``expects`` holds the hashes of its inputs, by name.

    ``name`` is a key of ``VERSIONS``: the stage, or ``STAGE: VARIANT`` if that has a version of its own.
    """
    stage = name.partition(":")[0]
    content = {"stage": stage, "version": VERSIONS[name], "expects": expects, **keys}
    return {**content, "hash": config_hash(counted(content))}


def completed_stage(stage: Mapping[str, Any]) -> Stage:
    """A stage that an older version wrote, completed by the keys added to its sections since."""
    inside = (*INSIDE, "use")
    return {
        key: completed(value, SECTIONS[key])
        if key in SECTIONS and key != "data"  # a trained model keeps only a few of its keys
        else completed_stage(value)
        if key in inside and isinstance(value, dict)
        else value
        for key, value in stage.items()
    }


def counted(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that enter a stage's hash."""
    return {key: _identity_of(key, value) for key, value in keys.items()}


def _identity_of(key: str, value: Any) -> Any:
    if key in SECTIONS:
        return identity(value, SECTIONS[key])
    if key in BY_NAME:
        return {name: identity(each, BY_NAME[key]) for name, each in value.items()}
    return counted(value) if key in INSIDE else value
