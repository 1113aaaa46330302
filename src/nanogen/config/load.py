"""From files to resolved configurations: one function per kind, each validated once.

A run is merged from, in this order: the study's general sections, its method's file, its task's
file (both with their block for the study's scale), and the study's ``overrides``. The task comes
after the method because a task fixes the protocol, e.g. text to image is guided at 6.0 whatever
scale is a method's best on ImageNet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from nanogen.config import checks, encoder_registry, replicates
from nanogen.config.model_schema import Model, PromptFile
from nanogen.config.schema import PIXELS, PRETRAINING, PublicRun, Run
from nanogen.config.study_schema import Study
from nanogen.config.tokenizer_networks import networks_of
from nanogen.config.validation import Layer, merged, refuse_unknown, section_of, validate
from nanogen.config.yaml_files import (
    available,
    for_scale,
    method_for_scale,
    named,
    on_task,
    read_yaml,
)
from nanogen.data import photographs
from nanogen.errors import UserError

Resolved = TypeVar("Resolved")


def once(resolve: Callable[..., Resolved]) -> Callable[..., Resolved]:
    """Resolve each part of a study once: a plan of a thousand jobs asks for the same few again and
    again. A study does not change, and is kept, so that its id stays its own."""
    known: dict[tuple[Any, ...], tuple[Study, Resolved]] = {}

    @wraps(resolve)
    def resolved(study: Study, *names: str) -> Resolved:
        key = (id(study), Path.cwd(), *names)
        if key not in known:
            known[key] = study, resolve(study, *names)
        return known[key][1]

    return resolved


def study_layers(name: str) -> list[Layer]:
    """The layers of a study given by name or by a file's path, those it extends first."""
    path = Path(name)
    layer = Layer(str(path), read_yaml(path)) if path.suffix == ".yaml" else named("studies", name)
    return [*_extended(layer.keys), layer]


def _extended(keys: Mapping[str, Any]) -> list[Layer]:
    """The layers of the studies that ``keys`` extend."""
    base = keys.get("extends") or []
    names = [base] if isinstance(base, str) else base
    return [layer for name in names for layer in study_layers(name)]


SECTIONS = ("backbone", "objective", "training", "sampling", "evaluation", "data")


def _validated_study(layers: Sequence[Layer]) -> Study:
    study = validate(Study, layers)
    if study.data_root:  # whatever way it is written, it is one folder
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
        raise UserError("report.reproduction is of one training per method: leave out seeds")
    if study.sweep and sorted(set(study.sweep.scales)) != study.sweep.scales:
        raise UserError(f"sweep.scales {study.sweep.scales} must rise, each another than the rest")
    for kind in ("tasks", "methods"):
        for entry in getattr(study.overrides, kind):
            named(kind, entry)
    for model in study.models:
        encoder_registry.model(model)
    released = study.released.models if study.released else {}
    for elsewhere in (study.trained, released):
        for task, models in elsewhere.items():
            named("tasks", task)
            for method in models:
                named("methods", method.removesuffix("-nocfg"))
    return study


def _check_listed(method: str, public: bool) -> None:
    """A public model is trained nowhere, so it stands under a key of its own."""
    layer = named("methods", method)
    if public != (layer.keys.get("family") == "public"):
        right, wrong = ("methods", "public") if public else ("public", "methods")
        raise UserError(
            f"{layer.where} has family {layer.keys.get('family')}: list {method} under '{right}' of the "
            f"study, not under '{wrong}'"
        )


def load_study(name: str, given: Mapping[str, Any] | None = None) -> Study:
    """A study's file with keys given on the command line or in a --configfile on top."""
    layers = study_layers(name)
    if given:
        known = {layer.keys.get("study") for layer in layers}
        if not {layer.keys.get("study") for layer in _extended(given)} <= known:
            layers = _extended(given) + layers
        layers.append(Layer("the command line or --configfile", given))
    return _validated_study(layers)


def study_from(config: Mapping[str, Any]) -> Study:
    """The study that Snakemake's ``config`` asks for (config.yaml, --configfile, --config)."""
    name = config.get("study")
    if not isinstance(name, str):
        raise UserError("config/config.yaml: key 'study' names the study, e.g. study: nano")
    if name in available("studies"):
        return load_study(name, config)
    if "scale" not in config and "extends" not in config:
        named("studies", name)  # raises, with the nearest name
    layers = [*_extended(config), Layer("--configfile", config)]
    return _validated_study(layers)


def _identity(study: Study, method: str, task: str) -> dict[str, Any]:
    """Keys of ``schema.Named`` that the study gives."""
    return {
        "study": study.study,
        "scale": study.scale,
        "seed": study.seed,
        "method": method,
        "task": task,
    }


@once
def load_run(study: Study, method: str, task: str) -> Run | PublicRun:
    """The resolved configuration of one method on one task; of a public model, what can be said of
    a model that is not trained here."""
    if method in study.public:
        return _load_public(study, method, task)
    first, number = replicates.parsed(method)
    if number > 1:
        run = load_run(study, first, task)
        return run.model_copy(update=replicates.identity(method, run.title, run.seed, study.seeds))
    general = {key: getattr(study, key) for key in SECTIONS}
    layers = [
        Layer(f"study {study.study}", {**general, **_identity(study, method, task)}),
        *method_for_scale(named("methods", method), study.scale),
        *for_scale(named("tasks", task), study.scale),
        *on_task(named("methods", method), study.scale, task),
        Layer(f"study {study.study} (data_root)", _photographs(study, task)),
        Layer(
            f"study {study.study} (overrides.tasks.{task})",
            study.overrides.tasks.get(task, {}),
        ),
    ]
    layers.append(Layer(f"config/methods/{method}.yaml (objective)", _guided_in_training(layers)))
    layers.append(
        Layer(
            f"study {study.study} (overrides.methods.{method})",
            study.overrides.methods.get(method, {}),
        )
    )
    run = validate(Run, layers)
    checks.check(run, latent_shape(study, run), tokenizer_networks(study, run))
    return run


def trained_run(study: Study, method: str, task: str) -> Run:
    """The resolved configuration of a method that the study trains."""
    run = load_run(study, method, task)
    assert isinstance(run, Run), f"{method} is a public model"
    return run


def public_run(study: Study, method: str) -> PublicRun:
    """The resolved configuration of a public model of the study."""
    return _load_public(study, method, "t2i")


def _load_public(study: Study, method: str, task: str) -> PublicRun:
    """How a public model is sampled follows from its own file; study and task say how it is judged."""
    if task != "t2i":
        raise UserError(f"{method} is a public text-to-image model; it has no images of task {task}")
    judged = [
        Layer(f"study {study.study}", {"evaluation": study.evaluation}),
        *for_scale(named("tasks", task), study.scale),
        Layer(f"study {study.study} (overrides.tasks.{task})", study.overrides.tasks.get(task, {})),
    ]
    layers = [
        Layer(f"study {study.study}", _identity(study, method, task)),
        *(Layer(at.where, {"evaluation": at.keys.get("evaluation", {})}) for at in judged),
        *for_scale(named("methods", method), study.scale),
        Layer(
            f"study {study.study} (overrides.methods.{method})",
            study.overrides.methods.get(method, {}),
        ),
    ]
    run = validate(PublicRun, layers)
    if load_model(study, run.pipeline).kind != "pipeline":
        raise UserError(f"{method}: pipeline {run.pipeline} is of another kind in config/models")
    return run


def _guided_in_training(layers: Sequence[Layer]) -> dict[str, Any]:
    """A task's guidance scale is no matter to a method whose guidance is in its training."""
    kind = merged(*(layer.keys for layer in layers)).get("objective", {}).get("kind")
    return {"sampling": {"guidance_scale": 1.0}} if kind == "meanflow" else {}


def _photographs(study: Study, task: str) -> dict[str, Any]:
    """Keys that follow from the user's folder: where it lies and, for labels, its classes."""
    if study.data.get("source") != "folder" and not study.data_root:
        return {}
    if not study.data_root:
        raise UserError(
            f"study {study.study} reads a folder of photographs: say which with "
            "--config data_root=PATH (PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg)"
        )
    root = Path(study.data_root)
    if not (root / "train").is_dir() and not (root.is_dir() and photographs.is_exported(root)):
        layout = photographs.LAYOUT.replace("ROOT", "PATH")
        raise UserError(f"data_root: there is no folder {root / 'train'}; {layout}")
    if task == "t2i" and study.data.get("source") != "folder":
        return {}
    keys: dict[str, Any] = {"data": {"root": study.data_root}}
    if task == "imagenet":
        keys["conditioner"] = {"classes": len(photographs.class_names(root))}
    return keys


def _given_with_latents(study: Study, name: str) -> dict[str, str]:
    """Where a cache made elsewhere is used, so is the tokenizer that made it."""
    for caches in study.latents.values():
        if name in caches:
            return {"source": "path", "path": caches[name].tokenizer}
    return {}


def _released(study: Study, name: str) -> dict[str, Any]:
    """Where an RAE that the authors published is fetched from."""
    if study.released is None or name not in study.released.tokenizers:
        return {}
    files = study.released.tokenizers[name].model_dump()
    size = study.released.tokenizer_mb
    hub = {"repo": study.released.repo, "revision": study.released.revision, "size_mb": size}
    return {"source": "download", "hub": hub, "released": files}


@once
def load_model(study: Study, name: str) -> Model:
    """A frozen network's configuration at the study's scale."""
    layers = [
        Layer(f"config/models/{name}.yaml", {"name": name}),
        *for_scale(encoder_registry.model(name), study.scale),
        Layer(f"study {study.study} (released.tokenizers)", _released(study, name)),
        Layer(f"study {study.study} (models.{name})", study.models.get(name, {})),
        Layer(f"study {study.study} (latents)", _given_with_latents(study, name)),
    ]
    model = validate(Model, layers)
    if model.data == PRETRAINING and study.data.get("source") != "scenes":
        model = model.model_copy(update={"data": "imagenet"})
    if model.source == "path":
        if not model.path:
            raise UserError(f"models.{name}: source is path, but no path is given")
        if not Path(model.path).is_dir():
            raise UserError(f"models.{name}.path: there is no folder {model.path}")
    if model.end_to_end and model.end_to_end.start == name:
        raise UserError(f"models.{name}.end_to_end.start: a VAE is tuned from another, not from itself")
    if model.kind == "pipeline" and model.source not in ("download", "path"):
        raise UserError(f"models.{name}: the source of a pipeline is download or path")
    if model.source == "download" and model.hub is None and model.file is None:
        raise UserError(f"models.{name}: source is download, but neither 'hub' nor 'file' says whence")
    return model


def with_networks(study: Study, name: str) -> list[str]:
    """A network after those that it is made with, if it is made here."""
    model = load_model(study, name)
    used = networks_of(model).values() if model.source == "build" else []
    return [*(each for other in used for each in with_networks(study, other)), name]


def tokenizer_networks(study: Study, run: Run) -> list[str]:
    """The run's tokenizer after the networks that it is made with; none for pixels."""
    return [] if run.tokenizer == PIXELS else with_networks(study, run.tokenizer)


def load_prompt_file(name: str) -> PromptFile:
    """Where the prompts ``name`` of config/prompts are fetched from."""
    return validate(PromptFile, [named("prompts", name)])


def latent_shape(study: Study, run: Run) -> tuple[int, int, int]:
    """(channels, rows, columns) of what the backbone sees: the latent, or the image itself."""
    if run.tokenizer == PIXELS:
        return 3, run.data.resolution, run.data.resolution
    shape = load_model(study, run.tokenizer).latent
    if shape is None:
        raise UserError(f"config/models/{run.tokenizer}.yaml: 'latent' is missing")
    return shape
