"""Stages of stage-2 models: trained by the study, given by the user, or published by the authors."""

from __future__ import annotations

from pathlib import Path

from nanogen.config import own_models, terms, trained, variants
from nanogen.config.load import latent_shape, load_model, trained_run
from nanogen.config.schema import PIXELS, Run
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.stages.preparation import (
    data,
    feature_width,
    given_classes,
    latents,
    model,
    model_keys,
    text,
    vision,
)
from nanogen.config.study_schema import Study

# Keys of the training that say how it is carried out, monitored and saved.
NOT_OF_THE_WEIGHTS = {"sharding", "micro_batch", "checkpoint_every", "log_every"}
NOT_OF_THE_WEIGHTS |= {"evaluate_every", "evaluate_images", "snapshots", "keep_state"}
NOT_OF_THE_WEIGHTS |= {"trackers"}

# Keys that were added later and do not apply to a released model.
OF_OWN_TRAININGS = {"ema_warmup", "frequencies"}

# Seed of the choice of MeanFlow's steps. It is the authors', and the same for all methods and seeds.
MEANFLOW_STEPS_SEED = 42


def train(study: Study, method: str, task: str, weights: str = "") -> Stage:
    """Stage 2: all that changes the trained weights; ``weights`` as in ``variants.weights_of``."""
    run = trained_run(study, method, task)
    training = run.training.model_dump(mode="json", exclude=NOT_OF_THE_WEIGHTS | {"initialise_from"})
    objective = run.objective.model_dump(mode="json")
    if weights == variants.OWN_WEIGHTS:
        objective["meanflow"] |= {"kappa": 0.0, "omega": 1.0}
    if objective["kind"] == "meanflow":
        objective["meanflow"]["steps_seed"] = MEANFLOW_STEPS_SEED
    width = None
    if run.tokenizer == PIXELS:
        expects = {"data": data(study, task, "train")["hash"]}
    else:
        expects = {"latents": latents(study, task, run.tokenizer)["hash"]}
    if run.conditioner.kind == "text":
        assert run.conditioner.model is not None
        expects["text"] = text(study, task, run.conditioner.model)["hash"]
        width = load_model(study, run.conditioner.model).width
    cached, running = terms.caches(run), terms.networks(run)
    for part, encoder in cached.items():
        expects[part] = vision(study, task, encoder, part)["hash"]
    for name in running.values():
        expects[name] = model(study, name)["hash"]
    widths = {name: feature_width(study, name) for name in cached.values()}
    keys = {
        "seed": run.seed,
        "method": method,
        "task": task,
        "latent": list(latent_shape(study, run)),
        "pixels": run.tokenizer == PIXELS,
        "text_width": width,
        "conditioner": run.conditioner.model_dump(mode="json"),
        "backbone": {**run.backbone.model_dump(mode="json"), **terms.backbone_keys(run, widths)},
        "objective": objective,
        "training": training,
        "networks": {term: model_keys(study, name) for term, name in running.items()},
        **terms.revisions(run),
    }
    use = _use(study, run)
    if run.training.initialise_from:
        start = trained.start(run.training.initialise_from, {**keys, "use": use})
        expects["initial"], keys["initial"] = start
    return {**stage_of("train", expects, **keys), "use": use}


def trained_model(study: Study, method: str, task: str, weights: str = "") -> Stage:
    """The ``train`` stage of the model that a run samples from: trained by the study, given by the user,
    or published by the authors."""
    expected = train(study, method, task, weights)
    folder = study.trained.get(task, {}).get(method + weights)
    file = own_models.released_file(study, method, task, weights)
    if folder:
        return trained.fitting(Path(folder), expected)
    return _released(study, expected, file) if file else expected


def _released(study: Study, expected: Stage, file: str) -> Stage:
    """The stage of a model that its authors trained: the expected network, and the file it comes from.

    It reads nothing of the study, so data, caches and the networks of added terms are left out; so is
    what bfloat16 rounds in a training here.
    """
    assert study.released is not None
    left_out = ("stage", "version", "expects", "hash", "use", "revised")
    keys = {key: value for key, value in expected.items() if key not in left_out}
    terms_revised = terms.revised_terms(trained_run(study, expected["method"], expected["task"]))
    keys |= {"revised": terms_revised} if terms_revised else {}
    keys["training"] = {k: v for k, v in keys["training"].items() if k not in OF_OWN_TRAININGS}
    source = {"repo": study.released.repo, "revision": study.released.revision, "file": file}
    return {**stage_of("train", {}, **keys, released=source), "use": expected["use"]}


def _use(study: Study, run: Run) -> Stage:
    """What sampling from the trained model by hand needs; not hashed, since it changes no weight."""
    networks = {
        "tokenizer": None if run.tokenizer == PIXELS else run.tokenizer,
        "text_encoder": run.conditioner.model,
    }
    return {
        "sampling": run.sampling.model_dump(mode="json", exclude={"batch_size", "more_steps"}),
        "data": run.data.model_dump(mode="json", include={"name", "source", "root", "file"}),
        "classes": given_classes(study, run.task) if run.conditioner.kind == "label" else None,
        **{
            part: name and {"hash": model(study, name)["hash"], "model": model_keys(study, name)}
            for part, name in networks.items()
        },
    }
