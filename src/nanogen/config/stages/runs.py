"""Stages of a trained run: its sample sets, their scores against real images, and the choice of the
guidance scale by those scores."""

from __future__ import annotations

from nanogen.config import metrics, variants
from nanogen.config.load import load_run, trained_run
from nanogen.config.schema import PIXELS, PublicRun, Run
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.stages.preparation import drawn_texts, model, model_keys, prompts, text
from nanogen.config.stages.real_images import classifier, extractor_hashes, extractors, reference
from nanogen.config.stages.training import trained_model
from nanogen.config.study_schema import Study, Sweep
from nanogen.errors import UserError


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


def features(study: Study, method: str, variant: str) -> Stage:
    """Every extractor's features of one sample set of the ImageNet axis."""
    return stage_of(
        "features",
        {
            "samples": sample(study, method, "imagenet", variant)["hash"],
            **extractor_hashes(study),
        },
        extractors=[model_keys(study, name) for name in extractors(study)],
        **classifier(study),
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
        **classifier(study),
    )
    asked = [metric.name for metric in metrics.of_stage("distribution", run.evaluation)]
    return {**stage, "use": {"metrics": asked}}
