"""The metrics of a study, the stage that measures each, and the networks that it needs."""

from __future__ import annotations

from nanogen.config import metrics
from nanogen.config.load import load_run
from nanogen.config.schema import Task
from nanogen.config.score_stages import measured, packaged
from nanogen.config.stages.base import Stage
from nanogen.config.stages.runs import distribution, features
from nanogen.config.stages.text_to_image import geneval, image_text, question_scores, simpleeval
from nanogen.config.study_schema import Study

_MAKE = (distribution, geneval, question_scores, simpleeval, image_text)
_STAGES = {make.__name__: make for make in _MAKE}


def metrics_of(study: Study, task: Task) -> list[str]:
    """Names of the metric files of a task's sample sets."""
    evaluation = load_run(study, study.methods[0], task).evaluation
    return [metric.name for metric in metrics.of_task(task, evaluation)]


def metric(study: Study, method: str, variant: str, name: str) -> Stage:
    """The stage that measures a metric of one sample set."""
    return _STAGES[metrics.BY_NAME[name].stage](study, method, variant)


def measuring(study: Study, method: str, task: Task, variant: str) -> list[Stage]:
    """The stages that measure a sample set, in the order in which they run.

    A stage is left out if all of its models run in packages, which need environments of their own.
    """
    names = dict.fromkeys(metrics.BY_NAME[name].stage for name in metrics_of(study, task))
    found = [_STAGES[name](study, method, variant) for name in names]
    own = [stage for stage in found if set(measured(stage)) - set(packaged(stage))]
    return [features(study, method, variant), *own] if task == "imagenet" else own


def networks(stage: Stage) -> dict[str, str]:
    """The networks that a stage measures with, by the names under which it expects them.

    Models that run in a package are left out, since they have no folder.
    """
    models = stage.get("models", {})
    answering = {f"{name}_model": models[name] for name in models if name not in packaged(stage)}
    extractors = (
        {each["name"]: each for each in stage["extractors"]} if stage["stage"] == "features" else {}
    )
    others = {role: stage[role] for role in stage["expects"] if role in stage}
    return {role: keys["name"] for role, keys in {**extractors, **others, **answering}.items()}
