"""The runs, tokenizers and files that a study's tables and figures are built from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from nanogen.config import Run, Study, load_model, own_models, stages, variants
from nanogen.config.load import trained_run
from nanogen.config.paths import Paths
from nanogen.config.schema import Task
from nanogen.report import seeds


def runs(study: Study, task: Task) -> list[Run]:
    """Every training on a task; empty if the study does not have the task."""
    if task not in study.tasks:
        return []
    return [trained_run(study, method, task) for method in study.trainings]


def swept(study: Study) -> list[Run]:
    """The runs whose guidance scale is swept."""
    named = [run for run in runs(study, "imagenet") if run.method in study.methods]
    return [run for run in named if variants.is_swept(run, study.sweep)]


def measured_tokenizers(study: Study) -> list[str]:
    """Return the tokenizers that are measured: those that can encode as well as decode.

    Published RAEs are left out, because they are fetched without their encoders. Reproductions measure
    no tokenizer. Studies of released models have only ImageNet's validation images, so they measure none
    without that task.
    """
    if study.report.reproduction or (study.released and "imagenet" not in study.tasks):
        return []
    return [name for name in stages.tokenizers(study) if load_model(study, name).released is None]


def curves(study: Study) -> list[str]:
    """Training curves of the runs that the study trains itself; models from elsewhere may have none."""
    return [
        f"{Paths(study).root}/runs/{task}/{method}/model/train.jsonl"
        for method in study.methods
        for task in study.tasks
        if own_models.is_own(study, method, task)
    ]


def models(study: Study, task: Task) -> list[str]:
    """The cards of the trained models, which contain their sizes."""
    return [Paths(study).trained(method, task) for method in study.trainings]


def sizes(task: Task) -> Callable[[Study], list[str]]:
    return lambda study: models(study, task)


def prompts(study: Study) -> list[str]:
    return [Paths(study).prompts] if "t2i" in study.tasks else []


def choices(study: Study) -> list[str]:
    """The files with the guidance scales that a sweep chose."""
    return [Paths(study).guidance(run.method) for run in swept(study)]


def reconstructions(study: Study) -> list[str]:
    return [Paths(study).reconstruction(name) for name in measured_tokenizers(study)]


def reconstructed_images(study: Study) -> list[str]:
    return [Paths(study).reconstructions(name) for name in measured_tokenizers(study)]


def seeds_metrics(study: Study) -> list[str]:
    """The metric files of every training's sample sets with guidance."""
    used = sorted({(measure.task, measure.metric) for measure in seeds.measures(study)})
    return [
        Paths(study).metric(run.method, task, variant, metric)
        for task in study.tasks
        for run in runs(study, task)
        for variant in variants.with_steps(run, variants.GUIDED)
        for at, metric in used
        if at == task
    ]


def lengths(study: Study) -> dict[str, str]:
    """Sample sets after a part of a method's training and after all of it, by heading (Figure 3)."""
    of_methods = [run for run in runs(study, "t2i") if run.method in study.methods]
    titles = Counter(run.title for run in of_methods)
    found = {}
    for run in of_methods:
        if run.training.snapshots and own_models.is_own(study, run.method, "t2i"):
            name = run.title if titles[run.title] == 1 else f"{run.title} ({run.method})"
            steps = {**variants.kept(run), variants.GUIDED: run.training.steps}
            for variant, step in steps.items():
                found[f"{name}, {step} steps"] = Paths(study).samples(run.method, "t2i", variant)
    return found


def shown_samples(study: Study) -> list[str]:
    """The sample sets that the overview shows, the prompts, and the images that name the classes."""
    from nanogen.report import overview  # it imports numpy, which a command's help does not need

    at = Paths(study)
    sets = [
        at.samples(run.method, task, variant)
        for task in study.tasks
        for run, variant in overview.shown(study, task)
    ]
    classes = [at.data("imagenet", "val")] if "imagenet" in study.tasks else []
    return [*sets, *prompts(study), *classes]
