"""Measurements of tokenizers: their reconstructions of the validation images."""

from __future__ import annotations

from nanogen.config.load import load_model, load_run, trained_run
from nanogen.config.schema import PIXELS, Run
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.stages.preparation import data, model, model_keys
from nanogen.config.study_schema import Study
from nanogen.errors import UserError


def tokenizers(study: Study) -> dict[str, list[Run]]:
    """The tokenizers of a study's methods, each with a run of every method that uses it.

    Empty if the study has pixel methods only.
    """
    found: dict[str, list[Run]] = {}
    for method in study.methods:
        run = trained_run(study, method, study.tasks[0])
        if run.tokenizer != PIXELS:
            found.setdefault(run.tokenizer, []).append(run)
    return found


def reconstructed_task(study: Study) -> str:
    """The task whose validation images are encoded and decoded."""
    return "imagenet" if "imagenet" in study.tasks else study.tasks[0]


def reconstruction_networks(study: Study) -> dict[str, str]:
    """The networks that measure reconstructions: ``extractor`` for rFID, and ``perceptual`` for LPIPS if
    the study names one."""
    evaluation = load_run(study, study.methods[0], reconstructed_task(study)).evaluation
    named = {"extractor": evaluation.extractors[0], "perceptual": evaluation.perceptual}
    return {role: name for role, name in named.items() if name}


def reconstruction(study: Study, tokenizer: str) -> Stage:
    """Scores of one tokenizer's reconstructions; if the study trains it, also before its training."""
    if tokenizer not in (known := tokenizers(study)):
        raise UserError(
            f"study {study.study} has no tokenizer {tokenizer!r}; it has {', '.join(known) or 'none'}"
        )
    networks, run = reconstruction_networks(study), known[tokenizer][0]
    return stage_of(
        "reconstruction",
        {
            "val": data(study, reconstructed_task(study), "val")["hash"],
            "tokenizer": model(study, tokenizer)["hash"],
            **{role: model(study, name)["hash"] for role, name in networks.items()},
        },
        seed=study.seed,
        tokenizer=model_keys(study, tokenizer),
        untrained=load_model(study, tokenizer).source == "build",
        **({} if run.sampling.pixels == "rounded" else {"pixels": run.sampling.pixels}),
        **{"perceptual": None, **{role: model_keys(study, name) for role, name in networks.items()}},
    )
