"""What each stage of the graph depends on, and the hash that names it.

A stage's dictionary holds the keys that change its result and the hashes of what it reads, nothing
else: that is what Snakemake compares to decide what to run again, what every output carries, and
what the stage checks its inputs against. ``VERSIONS`` is raised by a developer whose change to the
code alters a stage's results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanogen.config.load import PIXELS, latent_shape, load_model, load_run
from nanogen.config.schema import Data, Model, Study
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.identity import config_hash

VERSIONS = {
    "data": 1,
    "prompts": 1,
    "model": 2,
    "latents": 1,
    "text": 1,
    "train": 1,
    "sample": 1,
    "features": 1,
    "reference": 1,
    "distribution": 1,
    "geneval": 1,
}
Stage = dict[str, Any]


def _stage(name: str, expects: dict[str, str], **keys: Any) -> Stage:
    content = {"stage": name, "version": VERSIONS[name], "expects": expects, **keys}
    return {**content, "hash": config_hash(content)}


def task_data(study: Study, task: str) -> Data:
    """A task's data set; it does not depend on the method."""
    return load_run(study, study.methods[0], task).data


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
    file = Path(named) if named and named.endswith((".json", ".jsonl")) else None
    if file and not file.is_file():
        raise UserError(f"evaluation.prompts: there is no file {file}")
    return _stage(
        "prompts",
        {},
        seed=study.seed,
        prompts=named,
        content=config_hash(file.read_text(encoding="utf-8")) if file else None,
        data=run.data.model_dump(mode="json"),
    )


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


def model(study: Study, name: str) -> Stage:
    """One frozen network: trained from scratch, downloaded, or the user's."""
    config: Model = load_model(study, name)
    keys = config.model_dump(mode="json", exclude={"path"})
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
    seed = {"seed": study.seed} if config.source == "build" else {}
    return _stage("model", expects, model=keys, **seed)


def _model_keys(study: Study, name: str) -> dict[str, Any]:
    """A frozen network's keys as a stage that uses it needs them; where it came from is no matter."""
    return load_model(study, name).model_dump(mode="json", exclude={"path", "source"})


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


def text(study: Study, of: str, encoder: str) -> Stage:
    """Text features of a task's captions (``of`` = task) or of the evaluation ``prompts``."""
    source = prompts(study) if of == "prompts" else data(study, of, "train")
    return _stage(
        "text",
        {"data": source["hash"], "encoder": model(study, encoder)["hash"]},
        dtype="float16",
        model=_model_keys(study, encoder),
    )


def train(study: Study, method: str, task: str) -> Stage:
    """Stage 2: what changes the trained weights."""
    run = load_run(study, method, task)
    training = run.training.model_dump(mode="json", exclude={"checkpoint_every", "log_every"})
    width = None
    if run.tokenizer == PIXELS:
        expects = {"data": data(study, task, "train")["hash"]}
    else:
        expects = {"latents": latents(study, task, run.tokenizer)["hash"]}
    if run.conditioner.kind == "text":
        assert run.conditioner.model is not None
        expects["text"] = text(study, task, run.conditioner.model)["hash"]
        width = load_model(study, run.conditioner.model).width
    return _stage(
        "train",
        expects,
        seed=study.seed,
        method=method,
        task=task,
        latent=list(latent_shape(study, run)),
        pixels=run.tokenizer == PIXELS,
        text_width=width,
        conditioner=run.conditioner.model_dump(mode="json"),
        backbone=run.backbone.model_dump(mode="json"),
        objective=run.objective.model_dump(mode="json"),
        training=training,
    )


def sample(study: Study, method: str, task: str, variant: str) -> Stage:
    """A sample set. Variants: ``cfg``, ``nocfg``, and ``untrained`` (initial weights)."""
    run = load_run(study, method, task)
    trained = train(study, method, task)
    sampling = run.sampling.model_dump(mode="json", exclude={"batch_size"})
    if variant != "cfg":
        sampling["guidance_scale"] = 1.0
    count = run.evaluation.untrained_images if variant == "untrained" else run.evaluation.images
    expects = {"model": trained["hash"]}
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
        images=count,
        images_per_prompt=run.evaluation.images_per_prompt,
        sampling=sampling,
        tokenizer=run.tokenizer,
        train=trained,
    )


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
    """FID, IS, FDr and MIND of one sample set."""
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
    return _stage(
        "geneval",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            "detector": model(study, detector)["hash"],
        },
        seed=study.seed,
        detector=_model_keys(study, detector),
    )
