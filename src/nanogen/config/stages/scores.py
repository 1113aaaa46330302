"""The metrics of a study, the stage that measures each, and the networks that it needs."""

from __future__ import annotations

from nanogen.config import metrics
from nanogen.config.load import load_run
from nanogen.config.schema import Task
from nanogen.config.stages.base import Stage
from nanogen.config.stages.runs import distribution, features
from nanogen.config.stages.text_to_image import (
    caption_fid,
    clip_score,
    geneval,
    image_text,
    question_scores,
    simpleeval,
)
from nanogen.config.study_schema import Study

_MAKE = (distribution, geneval, question_scores, simpleeval, clip_score, caption_fid, image_text)
_STAGES = {make.__name__: make for make in _MAKE}


def metrics_of(study: Study, task: Task) -> list[str]:
    """Names of the metric files of a task's sample sets."""
    evaluation = load_run(study, study.methods[0], task).evaluation
    return [metric.name for metric in metrics.of_task(task, evaluation)]


def metric(study: Study, method: str, variant: str, name: str) -> Stage:
    """The stage that measures a metric of one sample set."""
    return _STAGES[metrics.BY_NAME[name].stage](study, method, variant)


def measuring(study: Study, method: str, task: Task, variant: str) -> list[Stage]:
    """The stages that measure a sample set, in the order in which they run."""
    names = dict.fromkeys(metrics.BY_NAME[name].stage for name in metrics_of(study, task))
    found = [_STAGES[name](study, method, variant) for name in names]
    return [features(study, method, variant), *found] if task == "imagenet" else found


def networks(stage: Stage) -> dict[str, str]:
    """The networks that a stage measures with, by the names under which it expects them."""
    answering = {f"{name}_model": keys for name, keys in stage.get("models", {}).items()}
    extractors = (
        {each["name"]: each for each in stage["extractors"]} if stage["stage"] == "features" else {}
    )
    others = {role: stage[role] for role in stage["expects"] if role in stage}
    return {role: keys["name"] for role, keys in {**extractors, **others, **answering}.items()}
