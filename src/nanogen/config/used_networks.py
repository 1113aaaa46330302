"""Which frozen networks a study uses."""

from __future__ import annotations

from nanogen.config import own_models, stages, terms
from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.load import load_model, load_run, tokenizer_networks, trained_run
from nanogen.config.schema import PublicRun
from nanogen.config.study_schema import Study


def models_of(study: Study) -> list[str]:
    """Names of every frozen network that the study's rules may use, in order of first use."""
    names: dict[str, None] = {}
    for task in study.tasks:
        for method in study.methods:
            run = trained_run(study, method, task)
            names |= dict.fromkeys(tokenizer_networks(study, run))
            if run.conditioner.model:
                names[run.conditioner.model] = None
            if own_models.is_own(study, method, task):
                names |= dict.fromkeys(terms.encoders(run))
        if task == "t2i":
            public = (load_run(study, method, task) for method in study.public)
            names |= dict.fromkeys(run.pipeline for run in public if isinstance(run, PublicRun))
        evaluation = load_run(study, study.methods[0], task).evaluation
        used = evaluation.extractors if task == "imagenet" else _judges(evaluation)
        names |= dict.fromkeys(name for name in used if name)
        if task == "t2i" and evaluation.detector:
            colors = load_model(study, evaluation.detector).color_classifier
            names |= {colors: None} if colors else {}
    if stages.tokenizers(study) and not study.report.reproduction:
        names |= dict.fromkeys(stages.reconstruction_networks(study).values())
    return list(names)


def _judges(evaluation: Evaluation) -> list[str | None]:
    """The networks that measure text-to-image samples."""
    simple = evaluation.simpleeval
    return [
        evaluation.detector,
        evaluation.dpg,
        evaluation.genai,
        simple.scorer if simple else None,
        evaluation.clipscore,
        evaluation.extractors[0] if evaluation.captions.given else None,
    ]
