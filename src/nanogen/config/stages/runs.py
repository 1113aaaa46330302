"""Stages of a run: its training, its sample sets, their scores against real images, and the choice of
the guidance scale by those scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanogen.config import metrics, own_models, terms, trained, variants
from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.load import latent_shape, load_model, load_run, trained_run
from nanogen.config.schema import PIXELS, PublicRun, Run
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.stages.preparation import (
    data,
    drawn_texts,
    feature_width,
    given_classes,
    latents,
    model,
    model_keys,
    prompts,
    text,
    vision,
)
from nanogen.config.study_schema import Study, Sweep
from nanogen.errors import UserError

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


def sample(study: Study, method: str, task: str, variant: str) -> Stage:
    """A sample set; see ``nanogen.config.variants``.

    The tokenizer's keys are in ``use``, outside the hash, which has that of the tokenizer.
    """
    run = load_run(study, method, task)
    if isinstance(run, PublicRun):
        return _public_sample(study, run, variant)
    made = trained_model(study, method, task, variants.weights_of(run, variant))
    sampling = run.sampling.model_dump(mode="json", exclude={"batch_size", "more_steps"})
    sampling["steps"] = variants.steps_of(run, variant)
    sampling["guidance_scale"] = variants.scale_of(run, variant)
    expects = {"model": made["hash"]}
    kept = variants.kept_step(run, variant)
    if variant == variants.BEST:
        expects["guidance"] = guidance(study, method)["hash"]
    if run.tokenizer != PIXELS:
        expects["tokenizer"] = model(study, run.tokenizer)["hash"]
    if run.conditioner.kind == "text":
        assert run.conditioner.model is not None
        if task == "t2i":
            expects["prompts"] = prompts(study)["hash"]
        expects["text"] = text(study, drawn_texts(task), run.conditioner.model)["hash"]
    stage = stage_of(
        "sample",
        expects,
        seed=run.seed,
        method=method,
        task=task,
        variant=variant,
        **_count(study, run, variant),
        sampling=sampling,
        tokenizer=run.tokenizer,
        train={key: value for key, value in made.items() if key != "use"},
        **({"kept": kept, "shown": variants.SHOWN} if kept else {}),
    )
    keys = None if run.tokenizer == PIXELS else model_keys(study, run.tokenizer)
    return {**stage, "use": {"tokenizer_model": keys}}


def _count(study: Study, run: Run, variant: str) -> dict[str, int]:
    """The key that gives the number of images: per prompt, or of the set if it is drawn by class.

    Raises UserError for a set that the study's sweep lacks.
    """
    images = _images(study, run, variant)
    if run.task == "t2i":
        return {"images_per_prompt": run.evaluation.images_per_prompt}
    return {"images": images}


def _images(study: Study, run: Run, variant: str) -> int:
    """The number of images in a sample set; raises UserError for one that the study's sweep lacks."""
    if variant == variants.UNTRAINED:
        return run.evaluation.untrained_images
    small = variant.startswith(variants.SWEEP)
    if small or variant == variants.BEST:
        sweep = _sweep_of(study, run)
        if small and variant not in variants.swept(sweep):
            raise UserError(
                f"study {study.study} has no sample set {variant!r}; sweep.scales gives "
                f"{', '.join(variants.swept(sweep))}"
            )
        return sweep.images if small else run.evaluation.images
    return run.evaluation.images


def _sweep_of(study: Study, run: Run) -> Sweep:
    """The study's sweep; raises UserError if it does not search for the run's guidance."""
    if study.sweep is None:
        raise UserError(
            f"study {study.study} sweeps no guidance; set sweep, "
            "e.g. --config 'sweep={scales: [1.0, 1.5, 2.0, 3.0], images: 200}'"
        )
    if not variants.is_swept(run, study.sweep):
        raise UserError(
            f"the guidance of {run.method} on {run.task} is not swept: it is a matter of "
            f"{'its training' if variants.guidance_is_trained(run) else 'the task'}"
        )
    return study.sweep


def guidance(study: Study, method: str) -> Stage:
    """The choice of a method's guidance scale on ImageNet, from the FIDs of a sweep."""
    sweep = _sweep_of(study, trained_run(study, method, "imagenet"))
    found = {name: distribution(study, method, name)["hash"] for name in variants.swept(sweep)}
    return stage_of("guidance", found, method=method, task="imagenet", scales=variants.swept(sweep))


def _public_sample(study: Study, run: PublicRun, variant: str) -> Stage:
    """The sample set of a public model, drawn by its own pipeline."""
    if variant != variants.GUIDED:
        raise UserError(
            f"{run.method} is a public model: it has the sample set {variants.GUIDED!r}, drawn as its "
            f"pipeline draws by default, and no {variant!r}"
        )
    stage = stage_of(
        "sample",
        {"pipeline": model(study, run.pipeline)["hash"], "prompts": prompts(study)["hash"]},
        seed=study.seed,
        method=run.method,
        task=run.task,
        variant=variant,
        images_per_prompt=run.evaluation.images_per_prompt,
        sampling=run.sampling.model_dump(mode="json", exclude={"batch_size", "offload"}),
        pipeline=model_keys(study, run.pipeline),
    )
    return {**stage, "use": {"offload": run.sampling.offload}}


def extractors(study: Study, task: str = "imagenet") -> list[str]:
    return load_run(study, study.methods[0], task).evaluation.extractors


def _classifier(study: Study) -> dict[str, Any]:
    """The key ``classifier`` with the number of classes that it must know; empty if there is none."""
    run = trained_run(study, study.methods[0], "imagenet")
    name = run.evaluation.classifier
    return {"classifier": {"name": name, "classes": run.conditioner.classes}} if name else {}


def _extractor_hashes(study: Study) -> dict[str, str]:
    return {name: model(study, name)["hash"] for name in extractors(study)}


def reference_splits(study: Study) -> list[str]:
    """The splits that the reference is made from. The validation images are enough if everything that
    would need the training images is published."""
    models = [load_model(study, name) for name in extractors(study)]
    published = all(one.statistics and one.fdr_constant is not None for one in models)
    if published and _evaluation(study).real_images == "val":
        return ["val"]
    return ["train", "val"]


def _evaluation(study: Study) -> Evaluation:
    return load_run(study, study.methods[0], "imagenet").evaluation


def reference(study: Study) -> Stage:
    """Moments and features of the real images, and each extractor's FDr constant."""
    kept = _evaluation(study).real_images
    return stage_of(
        "reference",
        {
            **{split: data(study, "imagenet", split)["hash"] for split in reference_splits(study)},
            **_extractor_hashes(study),
        },
        seed=study.seed,
        extractors=[model_keys(study, name) for name in extractors(study)],
        **({} if kept == "train" else {"real_images": kept}),
    )


def features(study: Study, method: str, variant: str) -> Stage:
    """Every extractor's features of one sample set of the ImageNet axis."""
    return stage_of(
        "features",
        {
            "samples": sample(study, method, "imagenet", variant)["hash"],
            **_extractor_hashes(study),
        },
        extractors=[model_keys(study, name) for name in extractors(study)],
        **_classifier(study),
    )


def distribution(study: Study, method: str, variant: str) -> Stage:
    """The metrics of one sample set that compare features.

    The metrics to measure are in ``use``, outside the hash.
    """
    run = load_run(study, method, "imagenet")
    stage = stage_of(
        "distribution",
        {
            "features": features(study, method, variant)["hash"],
            "reference": reference(study)["hash"],
        },
        mind_directions=run.evaluation.mind_directions,
        extractors=run.evaluation.extractors,
        **_classifier(study),
    )
    asked = [metric.name for metric in metrics.of_stage("distribution", run.evaluation)]
    return {**stage, "use": {"metrics": asked}}
