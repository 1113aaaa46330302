"""A study's configuration: its file, those that it extends, and keys given on top."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen.config import encoder_registry
from nanogen.config.schema import Run
from nanogen.config.study_schema import Study
from nanogen.config.validation import Layer, refuse_unknown, section_of, validate
from nanogen.config.yaml_files import available, named, read_yaml
from nanogen.errors import UserError, nearest

# Sections that a study may set for all of its runs.
SECTIONS = ("backbone", "objective", "training", "sampling", "evaluation", "data")


def study_layers(name: str, extended_by: tuple[str, ...] = ()) -> list[Layer]:
    """The layers of a study, given by name or as a path, after those of the studies that it extends.

    Raises UserError if ``extends`` is not a name or a list of names, or if a study extends itself,
    directly or through the studies in ``extended_by``.
    """
    if name in extended_by:
        raise UserError(f"study {name} extends itself: {' -> '.join((*extended_by, name))}")
    path = Path(name)
    layer = Layer(str(path), read_yaml(path)) if path.suffix == ".yaml" else named("studies", name)
    return [*_extended(layer, (*extended_by, name)), layer]


def _extended(layer: Layer, by: tuple[str, ...] = ()) -> list[Layer]:
    """The layers of the studies that a layer extends; ``by``: the names of the layer's own studies."""
    base = layer.keys.get("extends") or []
    names = [base] if isinstance(base, str) else base
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{layer.where}: extends: {base!r} is not a study's name or a list of names")
    return [layer for name in names for layer in study_layers(name, by)]


def _validated_study(layers: Sequence[Layer]) -> Study:
    study = validate(Study, layers)
    if study.data_root:  # the same folder, however its path is written
        study = study.model_copy(update={"data_root": os.path.realpath(study.data_root)})
    for layer in layers:
        for section in SECTIONS:
            keys, known = layer.keys.get(section), section_of(Run, section)
            if keys and known:
                refuse_unknown(keys, known, layer.where, section)
    for key in ("methods", "tasks", "public"):
        names = getattr(study, key)
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"study {study.study}: {key} names {twice[0]!r} twice; remove one")
    for method in (*study.methods, *study.public):
        _check_listed(method, method in study.public)
    if study.seeds > 1 and study.report.reproduction:
        raise UserError("report.reproduction uses one training per method: leave out seeds")
    if study.sweep and sorted(set(study.sweep.scales)) != study.sweep.scales:
        raise UserError(f"sweep.scales {study.sweep.scales} must be distinct and in ascending order")
    _check_names(study)
    return study


def _check_names(study: Study) -> None:
    """Raise UserError for a key that names a task, method or model without a file."""
    for kind in ("tasks", "methods"):
        for entry in getattr(study.overrides, kind):
            named(kind, entry)
    released = study.released
    for model in (*study.models, *(released.tokenizers if released else ())):
        encoder_registry.model(model)
    for elsewhere in (study.trained, released.models if released else {}):
        for task, models in elsewhere.items():
            named("tasks", task)
            for method in models:
                named("methods", method.removesuffix("-nocfg"))
    for task, caches in study.latents.items():
        named("tasks", task)
        for tokenizer in caches:
            if not _makes_latents(tokenizer):
                known = filter(_makes_latents, encoder_registry.names())
                raise UserError(
                    f"study {study.study}: latents.{task} names {tokenizer!r}, which makes no latents"
                    f"{nearest(tokenizer, known)}"
                )


def _makes_latents(model: str) -> bool:
    return encoder_registry.model(model).keys.get("kind") in ("vae", "rae")


def _check_listed(method: str, public: bool) -> None:
    """Public models are not trained, so a study lists them under a key of their own."""
    layer = named("methods", method)
    if public != (layer.keys.get("family") == "public"):
        right, wrong = ("methods", "public") if public else ("public", "methods")
        raise UserError(
            f"{layer.where} has family {layer.keys.get('family')}: list {method} under '{right}' of the "
            f"study, not under '{wrong}'"
        )


def load_study(name: str, given: Mapping[str, Any] | None = None) -> Study:
    """A study's file, overridden by keys from the command line or a --configfile."""
    layers = study_layers(name)
    if given:
        own = Layer("the command line or --configfile", given)
        known = {layer.keys.get("study") for layer in layers}
        if not {layer.keys.get("study") for layer in _extended(own)} <= known:
            layers = _extended(own) + layers
        layers.append(own)
    return _validated_study(layers)


def study_from(config: Mapping[str, Any]) -> Study:
    """The study that Snakemake's ``config`` describes (config.yaml, --configfile, --config)."""
    name = config.get("study")
    if not isinstance(name, str):
        raise UserError("config/config.yaml: key 'study' names the study, e.g. study: nano")
    if name in available("studies"):
        return load_study(name, config)
    if "scale" not in config and "extends" not in config:
        named("studies", name)  # raises, with the nearest name
    given = Layer("--configfile", config)
    return _validated_study([*_extended(given), given])
