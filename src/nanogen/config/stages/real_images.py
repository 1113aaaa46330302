"""The stage of the reference, to which samples on ImageNet are compared, and the extractors of both."""

from __future__ import annotations

from typing import Any

from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.load import load_model, load_run, trained_run
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.stages.preparation import data, model, model_keys
from nanogen.config.study_schema import Study


def extractors(study: Study, task: str = "imagenet") -> list[str]:
    return load_run(study, study.methods[0], task).evaluation.extractors


def classifier(study: Study) -> dict[str, Any]:
    """The key ``classifier`` with the number of classes that it must know; empty if there is none."""
    run = trained_run(study, study.methods[0], "imagenet")
    name = run.evaluation.classifier
    return {"classifier": {"name": name, "classes": run.conditioner.classes}} if name else {}


def extractor_hashes(study: Study) -> dict[str, str]:
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
            **extractor_hashes(study),
        },
        seed=study.seed,
        extractors=[model_keys(study, name) for name in extractors(study)],
        **({} if kept == "train" else {"real_images": kept}),
    )
