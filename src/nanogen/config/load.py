"""From files to resolved configurations of runs and models, each validated once.

A run is merged from, in this order: the study's general sections, its method's file, its task's
file (both with their block for the study's scale), and the study's ``overrides``. The task comes
after the method because a task fixes the protocol, e.g. text-to-image is guided at 6.0, whichever
scale is best for a method on ImageNet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from nanogen.config import checks, encoder_registry, replicates
from nanogen.config.model_schema import Model, PromptFile
from nanogen.config.schema import PIXELS, PRETRAINING, PublicRun, Run
from nanogen.config.studies import SECTIONS
from nanogen.config.study_schema import Study
from nanogen.config.tokenizer_networks import networks_of
from nanogen.config.validation import Layer, merged, validate
from nanogen.config.yaml_files import for_scale, method_for_scale, model_for_scale, named, on_task
from nanogen.data import photographs
from nanogen.errors import UserError

Resolved = TypeVar("Resolved")


def once(resolve: Callable[..., Resolved]) -> Callable[..., Resolved]:
    """Cache what ``resolve`` returns: a plan of a thousand jobs needs the same few configurations.

    The study is part of the key by its ``id``. Studies do not change, and the cache keeps a reference to
    each, so no other study can get the same id.
    """
    known: dict[tuple[Any, ...], tuple[Study, Resolved]] = {}

    @wraps(resolve)
    def resolved(study: Study, *names: str) -> Resolved:
        key = (id(study), os.getcwd(), *names)
        if key not in known:
            known[key] = study, resolve(study, *names)
        return known[key][1]

    return resolved


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
    """The resolved configuration of one method on one task. That of a public model has fewer keys,
    because it is not trained here."""
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
    _check_shared(study, run)
    return run


def trained_run(study: Study, method: str, task: str) -> Run:
    """The resolved configuration of a method that is trained; raises UserError for a public model."""
    run = load_run(study, method, task)
    if not isinstance(run, Run):
        raise UserError(
            f"{method} is a public model: it has no training and no network here; name a method that "
            "is trained"
        )
    return run


def _check_shared(study: Study, run: Run | PublicRun) -> None:
    """Raise UserError unless a run has the data and the measurements of the study's first method."""
    if run.method != study.methods[0]:
        checks.check_shared(run, trained_run(study, study.methods[0], run.task))


def public_run(study: Study, method: str) -> PublicRun:
    """The resolved configuration of a public model of the study."""
    return _load_public(study, method, "t2i")


def _load_public(study: Study, method: str, task: str) -> PublicRun:
    """Resolve a public model: its file says how it is sampled, study and task how it is measured."""
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
    _check_shared(study, run)
    return run


def _guided_in_training(layers: Sequence[Layer]) -> dict[str, Any]:
    """Keys that set the guidance scale to 1, for a method whose guidance is part of its training."""
    objective = merged(*(layer.keys for layer in layers)).get("objective")
    trained = isinstance(objective, dict) and objective.get("kind") == "meanflow"
    return {"sampling": {"guidance_scale": 1.0}} if trained else {}


def _photographs(study: Study, task: str) -> dict[str, Any]:
    """Keys that follow from the user's folder: its path and, for labels, the number of classes."""
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
        raise UserError(f"data_root: folder {root / 'train'} does not exist; {layout}")
    if task == "t2i" and study.data.get("source") != "folder":
        return {}
    keys: dict[str, Any] = {"data": {"root": study.data_root}}
    if task == "imagenet":
        keys["conditioner"] = {"classes": len(photographs.class_names(root))}
    return keys


def _given_with_latents(study: Study, name: str) -> dict[str, str]:
    """Keys of the tokenizer that made a cache given by path: it must be used together with the cache."""
    for caches in study.latents.values():
        if name in caches:
            return {"source": "path", "path": caches[name].tokenizer}
    return {}


def _released(study: Study, name: str) -> dict[str, Any]:
    """Keys that say where an RAE published by the authors is downloaded from."""
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
        *model_for_scale(encoder_registry.model(name), study.scale),
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
            raise UserError(f"models.{name}.path: folder {model.path} does not exist")
    if model.end_to_end and model.end_to_end.start == name:
        raise UserError(f"models.{name}.end_to_end.start: a VAE is tuned from another, not from itself")
    if model.kind == "pipeline" and model.source not in ("download", "path"):
        raise UserError(f"models.{name}: the source of a pipeline is download or path")
    if model.source == "download" and model.hub is None and model.file is None:
        raise UserError(f"models.{name}: source is download, but neither 'hub' nor 'file' is given")
    return model


def with_networks(study: Study, name: str) -> list[str]:
    """Return a network's name, preceded by the names of the networks that it is trained with.

    Only a network that is built here is trained with others.
    """
    model = load_model(study, name)
    used = networks_of(model).values() if model.source == "build" else []
    return [*(each for other in used for each in with_networks(study, other)), name]


def tokenizer_networks(study: Study, run: Run) -> list[str]:
    """`with_networks` of the run's tokenizer; empty for pixels."""
    return [] if run.tokenizer == PIXELS else with_networks(study, run.tokenizer)


def load_prompt_file(name: str) -> PromptFile:
    """The file ``name`` in config/prompts, which says where prompts are downloaded from."""
    return validate(PromptFile, [named("prompts", name)])


def latent_shape(study: Study, run: Run) -> tuple[int, int, int]:
    """(channels, rows, columns) of the backbone's input: the latent, or the image itself."""
    if run.tokenizer == PIXELS:
        return 3, run.data.resolution, run.data.resolution
    shape = load_model(study, run.tokenizer).latent
    if shape is None:
        raise UserError(f"config/models/{run.tokenizer}.yaml: 'latent' is missing")
    return shape
