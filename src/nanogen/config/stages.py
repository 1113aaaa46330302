"""What each stage of the graph depends on, and the hash that names it.

A stage's dictionary holds the keys that change its result and the hashes of what it reads, nothing
else: that is what Snakemake compares to decide what to run again, what every output carries, and
what the stage checks its inputs against. ``VERSIONS`` is raised by a developer whose change to the
code alters a stage's results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanogen.config import terms, trained, variants
from nanogen.config.load import (
    PIXELS,
    available,
    latent_shape,
    load_model,
    load_prompt_file,
    load_run,
)
from nanogen.config.schema import Data, Model, PublicRun, Run, Study, Sweep
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.identity import config_hash

VERSIONS = {
    "inputs": 1,
    "data": 2,
    "prompts": 2,
    "model": 2,
    "latents": 1,
    "text": 1,
    "vision": 1,
    "train": 2,
    "online": 1,
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


def _stage(name: str, expects: dict[str, str], **keys: Any) -> Stage:
    content = {"stage": name, "version": VERSIONS[name], "expects": expects, **keys}
    return {**content, "hash": config_hash(content)}


def task_data(study: Study, task: str) -> Data:
    """A task's data set; it does not depend on the method."""
    return load_run(study, study.methods[0], task).data


def inputs(study: Study, task: str) -> Stage:
    """Drawn pictures in the format of a task's data set, for a study that has the real one nowhere."""
    keys = task_data(study, task).model_dump(mode="json", exclude={"root", "hub"})
    return _stage("inputs", {}, seed=study.seed, data=keys)


def data(study: Study, task: str, split: str) -> Stage:
    return _stage(
        "data",
        {},
        seed=study.seed,
        split=split,
        data=task_data(study, task).model_dump(mode="json"),
    )


def prompts(study: Study) -> Stage:
    """The prompts of the text-to-image evaluation."""
    run = load_run(study, study.methods[0], "t2i")
    named = run.evaluation.prompts
    keys = {
        "seed": study.seed,
        "prompts": named,
        "data": run.data.model_dump(mode="json"),
        "simpleeval": _simple_prompts(run),
    }
    if named in available("prompts"):
        source = load_prompt_file(named).model_dump(mode="json")
        return _stage("prompts", {}, **keys, content=source["sha256"], file=source)
    file = Path(named) if named and named.endswith((".json", ".jsonl")) else None
    if file and not file.is_file():
        raise UserError(f"evaluation.prompts: there is no file {file}")
    return _stage(
        "prompts",
        {},
        **keys,
        content=config_hash(file.read_text(encoding="utf-8")) if file else None,
    )


def _simple_prompts(run: Run) -> dict[str, Any] | None:
    """What SimpleEval's prompts follow from, beside the seed; who judges the images is no matter."""
    simple = run.evaluation.simpleeval
    return simple and simple.model_dump(mode="json", exclude={"scorer"})


def _given_model_hash(path: str) -> str:
    """Identity of a model folder that the user points at."""
    folder = Path(path)
    card = folder / "nanogen.json"
    if card.exists():
        return read_json(card)["hash"]
    files = sorted(f for f in folder.rglob("*") if f.suffix in (".json", ".safetensors"))
    if not files:
        raise UserError(f"{path} holds no model: expected config.json and *.safetensors there")
    return config_hash(
        [
            (
                f.relative_to(folder).as_posix(),
                read_json(f) if f.suffix == ".json" else f.stat().st_size,
            )
            for f in files
        ]
    )


# Keys of a model that do not change what its folder holds, and those that do where it is fetched.
NOT_OF_THE_FOLDER = {"path", "color_classifier"}
FETCHED_FROM = {"file", "statistics_hub"}


def model(study: Study, name: str) -> Stage:
    """One frozen network: trained from scratch, downloaded, or the user's."""
    config: Model = load_model(study, name)
    others = NOT_OF_THE_FOLDER | (FETCHED_FROM if config.source != "download" else set())
    keys = config.model_dump(mode="json", exclude=others)
    if config.source == "path":
        stage = _stage("model", {}, model=keys)
        return {**stage, "hash": _given_model_hash(str(config.path))}
    expects = {}
    if config.source == "build":
        if config.data is None or config.training is None:
            # found while planning, before anything is spent
            raise UserError(
                f"config/models/{name}.yaml: to build it at scale {study.scale}, it needs "
                "'data' (the task it is trained on) and 'training'; or set its source to "
                "download or path"
            )
        expects["data"] = data(study, config.data, "train")["hash"]
        expects["val"] = data(study, config.data, "val")["hash"]
    if config.encoder is not None:
        expects["encoder"] = model(study, config.encoder)["hash"]
    if config.source in ("download", "package"):
        return _stage("model", expects, model=keys)
    if config.source == "random":
        resolution = task_data(study, "imagenet").resolution
        return _stage("model", {}, model=keys, seed=study.seed, resolution=resolution)
    return _stage("model", expects, model=keys, seed=study.seed)


def _model_keys(study: Study, name: str) -> dict[str, Any]:
    """A frozen network's keys as a stage that uses it needs them; where it came from is no matter."""
    elsewhere = {"source"} | NOT_OF_THE_FOLDER | FETCHED_FROM
    return load_model(study, name).model_dump(mode="json", exclude=elsewhere)


def latents(study: Study, task: str, tokenizer: str) -> Stage:
    """The latent cache of one data set's training split."""
    return _stage(
        "latents",
        {
            "data": data(study, task, "train")["hash"],
            "tokenizer": model(study, tokenizer)["hash"],
        },
        dtype="float16",
        model=_model_keys(study, tokenizer),
    )


def vision(study: Study, task: str, encoder: str, part: str) -> Stage:
    """A frozen vision encoder's features of one data set's training split: ``cls`` or ``patches``."""
    return _stage(
        "vision",
        {
            "data": data(study, task, "train")["hash"],
            "encoder": model(study, encoder)["hash"],
        },
        part=part,
        dtype="float16",
        model=_model_keys(study, encoder),
    )


def _width(study: Study, name: str) -> int:
    width = load_model(study, name).width
    if width is None:
        raise UserError(f"config/models/{name}.yaml: 'width', of the features, is missing")
    return width


def text(study: Study, of: str, encoder: str) -> Stage:
    """Text features of a task's captions (``of`` = task) or of the evaluation ``prompts``."""
    source = prompts(study) if of == "prompts" else data(study, of, "train")
    return _stage(
        "text",
        {"data": source["hash"], "encoder": model(study, encoder)["hash"]},
        dtype="float16",
        model=_model_keys(study, encoder),
    )


# Keys of the training that say how it is watched and saved.
NOT_OF_THE_WEIGHTS = {"checkpoint_every", "log_every", "evaluate_every", "evaluate_images"}


def train(study: Study, method: str, task: str, weights: str = "") -> Stage:
    """Stage 2: what changes the trained weights; ``weights`` as in ``variants.weights_of``."""
    run = load_run(study, method, task)
    training = run.training.model_dump(mode="json", exclude=NOT_OF_THE_WEIGHTS)
    objective = run.objective.model_dump(mode="json")
    if weights == variants.OWN_WEIGHTS:
        objective["meanflow"]["kappa"] = 0.0
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
    widths = {name: _width(study, name) for name in cached.values()}
    stage = _stage(
        "train",
        expects,
        seed=study.seed,
        method=method,
        task=task,
        latent=list(latent_shape(study, run)),
        pixels=run.tokenizer == PIXELS,
        text_width=width,
        conditioner=run.conditioner.model_dump(mode="json"),
        backbone={**run.backbone.model_dump(mode="json"), **terms.backbone_keys(run, widths)},
        objective=objective,
        training=training,
        networks={term: _model_keys(study, name) for term, name in running.items()},
    )
    return {**stage, "use": _use(study, run)}


def trained_model(study: Study, method: str, task: str, weights: str = "") -> Stage:
    """The ``train`` stage of the model that a run samples from: the study's own or the one given."""
    expected = train(study, method, task, weights)
    folder = study.trained.get(task, {}).get(method + weights)
    return trained.fitting(Path(folder), expected) if folder else expected


def _use(study: Study, run: Run) -> Stage:
    """What the trained model is drawn from by hand with; it changes no weight, so it is not hashed."""
    networks = {
        "tokenizer": None if run.tokenizer == PIXELS else run.tokenizer,
        "text_encoder": run.conditioner.model,
    }
    return {
        "sampling": run.sampling.model_dump(mode="json", exclude={"batch_size", "more_steps"}),
        "data": run.data.model_dump(mode="json", include={"name", "source", "root"}),
        **{
            part: name and {"hash": model(study, name)["hash"], "model": _model_keys(study, name)}
            for part, name in networks.items()
        },
    }


def sample(study: Study, method: str, task: str, variant: str) -> Stage:
    """A sample set; see ``nanogen.config.variants``."""
    run = load_run(study, method, task)
    if isinstance(run, PublicRun):
        return _public_sample(study, run, variant)
    made = trained_model(study, method, task, variants.weights_of(run, variant))
    sampling = run.sampling.model_dump(mode="json", exclude={"batch_size", "more_steps"})
    sampling["steps"] = variants.steps_of(run, variant)
    sampling["guidance_scale"] = variants.scale_of(run, variant)
    expects = {"model": made["hash"]}
    if variant == variants.BEST:
        expects["guidance"] = guidance(study, method)["hash"]
    if run.tokenizer != PIXELS:
        expects["tokenizer"] = model(study, run.tokenizer)["hash"]
    if run.conditioner.kind == "text":
        assert run.conditioner.model is not None
        expects["prompts"] = prompts(study)["hash"]
        expects["text"] = text(study, "prompts", run.conditioner.model)["hash"]
    return _stage(
        "sample",
        expects,
        seed=study.seed,
        method=method,
        task=task,
        variant=variant,
        images=_images(study, run, variant),
        images_per_prompt=run.evaluation.images_per_prompt,
        sampling=sampling,
        tokenizer=run.tokenizer,
        train={key: value for key, value in made.items() if key != "use"},
    )


def _images(study: Study, run: Run, variant: str) -> int:
    """How many images a sample set has; raises UserError for one that the study does not sweep."""
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
    """The study's sweep; raises UserError where the run's guidance is not searched for."""
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
    sweep = _sweep_of(study, load_run(study, method, "imagenet"))
    found = {name: distribution(study, method, name)["hash"] for name in variants.swept(sweep)}
    return _stage("guidance", found, method=method, task="imagenet", scales=variants.swept(sweep))


def _public_sample(study: Study, run: PublicRun, variant: str) -> Stage:
    """The sample set of a public model, drawn by its own pipeline."""
    if variant != variants.GUIDED:
        raise UserError(
            f"{run.method} is a public model: it has the sample set {variants.GUIDED!r}, drawn as its "
            f"pipeline draws by default, and no {variant!r}"
        )
    stage = _stage(
        "sample",
        {"pipeline": model(study, run.pipeline)["hash"], "prompts": prompts(study)["hash"]},
        seed=study.seed,
        method=run.method,
        task=run.task,
        variant=variant,
        images_per_prompt=run.evaluation.images_per_prompt,
        sampling=run.sampling.model_dump(mode="json", exclude={"batch_size", "offload"}),
        pipeline=_model_keys(study, run.pipeline),
    )
    return {**stage, "use": {"offload": run.sampling.offload}}


def extractors(study: Study, task: str = "imagenet") -> list[str]:
    return load_run(study, study.methods[0], task).evaluation.extractors


def _extractor_hashes(study: Study) -> dict[str, str]:
    return {name: model(study, name)["hash"] for name in extractors(study)}


def reference(study: Study) -> Stage:
    """Moments and features of the real images, and each extractor's FDr constant."""
    return _stage(
        "reference",
        {
            "train": data(study, "imagenet", "train")["hash"],
            "val": data(study, "imagenet", "val")["hash"],
            **_extractor_hashes(study),
        },
        seed=study.seed,
        extractors=[_model_keys(study, name) for name in extractors(study)],
    )


def features(study: Study, method: str, variant: str) -> Stage:
    """Every extractor's features of one sample set of the ImageNet axis."""
    return _stage(
        "features",
        {
            "samples": sample(study, method, "imagenet", variant)["hash"],
            **_extractor_hashes(study),
        },
        extractors=[_model_keys(study, name) for name in extractors(study)],
    )


def distribution(study: Study, method: str, variant: str) -> Stage:
    """FID, sFID, IS, FDr, MIND, precision and recall of one sample set."""
    run = load_run(study, method, "imagenet")
    return _stage(
        "distribution",
        {
            "features": features(study, method, variant)["hash"],
            "reference": reference(study)["hash"],
        },
        mind_directions=run.evaluation.mind_directions,
        extractors=run.evaluation.extractors,
    )


def geneval(study: Study, method: str, variant: str) -> Stage:
    """GenEval of one sample set of the text-to-image axis."""
    run = load_run(study, method, "t2i")
    detector = run.evaluation.detector
    if detector is None:
        raise UserError("evaluation.detector names GenEval's detector, a file in config/models")
    networks = {"detector": detector, "color_classifier": load_model(study, detector).color_classifier}
    used = {role: name for role, name in networks.items() if name}
    return _stage(
        "geneval",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            **{role: model(study, name)["hash"] for role, name in used.items()},
        },
        seed=study.seed,
        **{role: _model_keys(study, name) for role, name in used.items()},
    )


def online(study: Study, method: str, task: str, weights: str = "") -> Stage:
    """The evaluation of a run while it is trained: how its images are drawn and what measures them.

    They are drawn as the sample set that the run is trained for, with guidance; weights of their own
    (``variants.weights_of``) without. When and how fast it is done stands in ``use``, outside the hash.
    """
    run = load_run(study, method, task)
    variant = variants.UNGUIDED if weights else variants.GUIDED
    drawn = sample(study, method, task, variant)
    expects, measured = _measured_online(study, run, variant)
    keys = ("seed", "method", "task", "variant", "images_per_prompt", "sampling", "tokenizer", "train")
    stage = _stage(
        "online",
        {key: value for key, value in drawn["expects"].items() if key != "model"} | expects,
        **{key: drawn[key] for key in keys},
        images=run.training.evaluate_images,
        **measured,
    )
    every, batch_size = run.training.evaluate_every, run.sampling.batch_size
    return {**stage, "use": {"every": every, "batch_size": batch_size}}


def _measured_online(study: Study, run: Run, variant: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What the final evaluation measures with: the files' hashes, and the networks' keys by role."""
    if run.task == "imagenet":
        first = run.evaluation.extractors[0]
        expects = {"reference": reference(study)["hash"], "extractor": model(study, first)["hash"]}
        return expects, {"extractor": _model_keys(study, first)}
    final = geneval(study, run.method, variant)
    expects = {key: value for key, value in final["expects"].items() if key != "samples"}
    roles = ("detector", "color_classifier")
    return expects, {role: final[role] for role in roles if role in final}


def questions(study: Study) -> Stage:
    """DPG-Bench's questions about the evaluation's prompts."""
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    named = evaluation.questions
    file = None if named == "prompts" else Path(named)
    if file and not file.is_file():
        raise UserError(
            f"evaluation.questions: there is no file {file}; give DPG-Bench's CSV or 'prompts'"
        )
    return _stage(
        "questions",
        {"prompts": prompts(study)["hash"]},
        questions=named,
        content=config_hash(file.read_text(encoding="utf-8")) if file else None,
        skip_first_row=evaluation.questions_skip_first,
    )


def answering(study: Study) -> dict[str, str]:
    """Which model answers for which of the metrics ``dpg`` and ``genai``; those that none is named for
    are not measured."""
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    named = {"dpg": evaluation.dpg, "genai": evaluation.genai}
    return {metric: model for metric, model in named.items() if model}


def question_scores(study: Study, method: str, variant: str) -> Stage:
    """DPG-Bench and GenAI-Bench of one sample set of the text-to-image axis."""
    models = answering(study)
    expects = {
        "samples": sample(study, method, "t2i", variant)["hash"],
        "prompts": prompts(study)["hash"],
        **{f"{metric}_model": model(study, name)["hash"] for metric, name in models.items()},
    }
    if "dpg" in models:
        expects["questions"] = questions(study)["hash"]
    return _stage(
        "question_scores",
        expects,
        models={metric: _model_keys(study, name) for metric, name in models.items()},
        images_per_prompt=load_run(study, method, "t2i").evaluation.images_per_prompt,
    )


def simpleeval(study: Study, method: str, variant: str) -> Stage:
    """SimpleEval of one sample set of the text-to-image axis."""
    simple = load_run(study, method, "t2i").evaluation.simpleeval
    if simple is None:
        raise UserError("evaluation.simpleeval says how many prompts there are and who compares")
    return _stage(
        "simpleeval",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            "scorer": model(study, simple.scorer)["hash"],
        },
        seed=study.seed,
        scorer=_model_keys(study, simple.scorer),
    )
