"""Stages that compare images with their prompts, and the evaluation during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanogen.config import metrics, prompt_lists, variants
from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.load import load_model, load_run, once, trained_run
from nanogen.config.schema import Run
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.stages.preparation import model, model_keys, prompts
from nanogen.config.stages.real_images import reference
from nanogen.config.stages.runs import sample
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.prompts.caption_sets import SETS, moments_file, sha256_of


def geneval(study: Study, method: str, variant: str) -> Stage:
    """GenEval of one sample set of the text-to-image axis."""
    run = load_run(study, method, "t2i")
    detector = run.evaluation.detector
    if detector is None:
        raise UserError("evaluation.detector names GenEval's detector, a file in config/models")
    networks = {"detector": detector, "color_classifier": load_model(study, detector).color_classifier}
    used = {role: name for role, name in networks.items() if name}
    return stage_of(
        "geneval",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            **{role: model(study, name)["hash"] for role, name in used.items()},
        },
        seed=run.seed,
        **{role: model_keys(study, name) for role, name in used.items()},
        **_headline(run.evaluation),
    )


def _headline(evaluation: Evaluation) -> dict[str, str]:
    """The key ``headline``; empty for GenEval's own mean, over tags."""
    headline = evaluation.geneval_headline
    return {} if headline == "tags" else {"headline": headline}


def online(study: Study, method: str, task: str, weights: str = "") -> Stage:
    """The evaluation of a run during its training: how images are drawn and what measures them.

    They are drawn like the run's sample set with guidance, or without guidance for weights of their own
    (``variants.weights_of``). The interval, the batch size and the tokenizer's keys are in ``use``,
    outside the hash.
    """
    run = trained_run(study, method, task)
    variant = variants.UNGUIDED if weights else variants.GUIDED
    drawn = sample(study, method, task, variant)
    expects, measured = _measured_online(study, run, variant)
    keys = ["seed", "method", "task", "variant", "sampling", "tokenizer", "train"]
    keys += ["images_per_prompt"] if task == "t2i" else []
    count = {} if task == "t2i" else {"images": run.training.evaluate_images}
    stage = stage_of(
        "online",
        {key: value for key, value in drawn["expects"].items() if key != "model"} | expects,
        **{key: drawn[key] for key in keys},
        **count,
        **measured,
    )
    every, batch_size = run.training.evaluate_every, run.sampling.batch_size
    return {**stage, "use": {**drawn["use"], "every": every, "batch_size": batch_size}}


def _measured_online(study: Study, run: Run, variant: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What the final evaluation measures with: hashes of files, and keys of networks by role."""
    if run.task == "imagenet":
        first = run.evaluation.extractors[0]
        expects = {"reference": reference(study)["hash"], "extractor": model(study, first)["hash"]}
        return expects, {"extractor": model_keys(study, first)}
    final = geneval(study, run.method, variant)
    expects = {key: value for key, value in final["expects"].items() if key != "samples"}
    keys = ("detector", "color_classifier", "headline")
    return expects, {key: final[key] for key in keys if key in final}


def questions(study: Study) -> Stage:
    """DPG-Bench's questions, about its own prompts or about GenEval's."""
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    named = evaluation.questions
    made = named == prompt_lists.FROM_PROMPTS
    return stage_of(
        "questions",
        {"prompts": prompts(study)["hash"]},
        questions=named,
        **({"content": None} if made else prompt_lists.identity("questions", named)),
        skip_first_row=evaluation.questions_skip_first,
    )


def answering(study: Study) -> dict[str, str]:
    """Metric -> the model that answers, for the metrics that are measured by questions."""
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    asked = metrics.of_stage("question_scores", evaluation)
    return {metric.name: getattr(evaluation, metric.needs) for metric in asked}


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
    return stage_of(
        "question_scores",
        expects,
        models={metric: model_keys(study, name) for metric, name in models.items()},
        images_per_prompt=load_run(study, method, "t2i").evaluation.images_per_prompt,
    )


def simpleeval(study: Study, method: str, variant: str) -> Stage:
    """SimpleEval of one sample set of the text-to-image axis."""
    run = load_run(study, method, "t2i")
    simple = run.evaluation.simpleeval
    if simple is None:
        raise UserError("evaluation.simpleeval is missing; it gives the number of prompts and a network")
    return stage_of(
        "simpleeval",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            "scorer": model(study, simple.scorer)["hash"],
        },
        seed=run.seed,
        scorer=model_keys(study, simple.scorer),
    )


def clip_score(study: Study, method: str, variant: str) -> Stage:
    """CLIPScore of one sample set of the text-to-image axis."""
    matcher = load_run(study, method, "t2i").evaluation.clipscore
    if matcher is None:
        raise UserError("evaluation.clipscore names CLIPScore's network, a file in config/models")
    return stage_of(
        "clip_score",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            "matcher": model(study, matcher)["hash"],
        },
        matcher=model_keys(study, matcher),
    )


def caption_reference(study: Study, name: str) -> Stage:
    """Moments of the images of a set of captions, computed here or given by the user.

    A user's folder counts by its content, not by its path.
    """
    run = trained_run(study, study.methods[0], "t2i")
    source = run.evaluation.captions.given.get(name)
    if source is None:
        raise UserError(f"evaluation.captions.{name} names the set of captions that is measured on")
    extractor, moments = run.evaluation.extractors[0], moments_file(source)
    is_folder = Path(source).is_dir()
    images = {"images": _images_hash(study, name, source)} if is_folder and not moments else {}
    stage = stage_of(
        "caption_reference",
        {"prompts": prompts(study)["hash"], "extractor": model(study, extractor)["hash"]},
        captions=name,
        source=None if is_folder else source,
        moments=sha256_of(moments) if moments else None,
        resolution=run.data.resolution,
        extractor=model_keys(study, extractor),
        **images,
    )
    return {**stage, "source": source}


@once
def _images_hash(_: Study, name: str, folder: str) -> str:
    from nanogen.data.caption_images import images_hash

    return images_hash(Path(folder), SETS[name].images)


def caption_fid(study: Study, method: str, variant: str) -> Stage:
    """FID of one sample set on the study's sets of captions. The metrics' names are in ``use``."""
    run = load_run(study, method, "t2i")
    given, extractor = run.evaluation.captions.given, run.evaluation.extractors[0]
    if not given:
        raise UserError("evaluation.captions names the sets of captions that are measured on")
    stage = stage_of(
        "caption_fid",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
            "extractor": model(study, extractor)["hash"],
            **{f"captions_{name}": caption_reference(study, name)["hash"] for name in given},
        },
        extractor=model_keys(study, extractor),
    )
    return {**stage, "use": {"metrics": [f"fid_{name}" for name in given]}}


def image_text(study: Study, method: str, variant: str) -> Stage:
    """The metrics of one sample set that need no network. Their names are in ``use``."""
    run = load_run(study, method, "t2i")
    stage = stage_of(
        "image_text",
        {
            "samples": sample(study, method, "t2i", variant)["hash"],
            "prompts": prompts(study)["hash"],
        },
        seed=run.seed,
    )
    asked = [metric.name for metric in metrics.of_stage("image_text", run.evaluation)]
    return {**stage, "use": {"metrics": asked}}
