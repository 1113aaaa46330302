"""Conditions on a resolved run that go beyond the types of its keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanogen.config import classifier, terms
from nanogen.config.schema import PIXELS, Backbone, PublicRun, Run
from nanogen.config.trackers import TRACKERS
from nanogen.errors import UserError, nearest

# Keys that a method may have to itself. The others of ``data`` and ``evaluation`` concern what all
# methods share: images, prompts, and the networks that measure.
NOT_SHARED = {
    f"evaluation.{key}"
    for key in ("images", "untrained_images", "unguided", "images_per_prompt", "mind_directions")
}


def check(run: Run, latent: tuple[int, int, int], networks: Sequence[str]) -> None:
    """Raise UserError if the run's keys contradict each other.

    Args:
        latent: (channels, rows, columns) of the backbone's input.
        networks: the run's tokenizer and the networks that the tokenizer is made with.
    """
    where = f"{run.method} on {run.task} (study {run.study})"
    if run.training.batch_size % run.training.noise_chunk:
        raise UserError(
            f"{where}: training.batch_size {run.training.batch_size} is not a multiple of "
            f"training.noise_chunk {run.training.noise_chunk}"
        )
    unknown = [name for name in run.training.trackers if name not in TRACKERS]
    if unknown:
        raise UserError(f"{where}: training.trackers has {unknown[0]!r}{nearest(unknown[0], TRACKERS)}")
    start = run.training.initialise_from
    if start and not Path(start.model, "stage.json").is_file():
        raise UserError(
            f"{where}: training.initialise_from: {start.model} is not the folder of a trained "
            "model: it has no stage.json; train or import that model first"
        )
    if run.objective.kind == "meanflow":
        _check_meanflow(run, where)
    more = run.sampling.more_steps
    if len({run.sampling.steps, *more}) <= len(more) or min(more, default=1) < 1:
        raise UserError(
            f"{where}: sampling.more_steps {more} must be positive and distinct, and must not contain "
            f"sampling.steps {run.sampling.steps}"
        )
    for key, (low, high) in {
        "sampling.guidance_interval": run.sampling.guidance_interval,
        "sampling.internal_interval": run.sampling.internal_interval,
        "objective.meanflow.guidance_interval": run.objective.meanflow.guidance_interval,
    }.items():
        if not 0 <= low <= high <= 1:
            raise UserError(f"{where}: {key} {low, high} must lie in [0, 1]")
    channels, rows, columns = latent
    if rows % run.backbone.patch or columns % run.backbone.patch:
        raise UserError(
            f"{where}: backbone.patch {run.backbone.patch} does not divide the latent "
            f"{channels}x{rows}x{columns}"
        )
    check_heads(run.backbone, where)
    terms.check(run, run.tokenizer == PIXELS, where)
    classifier.check(run, [*terms.encoders(run), *networks], where)
    if run.conditioner.kind == "text" and run.conditioner.model is None:
        raise UserError(f"{where}: conditioner.model must name the text encoder")
    if run.conditioner.kind == "label" and run.conditioner.classes is None:
        raise UserError(f"{where}: conditioner.classes is missing")


def check_heads(backbone: Backbone, where: str) -> None:
    """Raise UserError unless the widths can be divided into heads, and heads into pairs of pairs.

    Rotary positions turn pairs of features, half of them by the row and half by the column.
    """
    for part in ("encoder", "decoder") if backbone.kind == "ddt" else ("encoder",):
        width, heads = (getattr(backbone, f"{part}_{key}") for key in ("width", "heads"))
        if width % (4 * heads):
            raise UserError(
                f"{where}: backbone.{part}_width {width} is not a multiple of {4 * heads}, four times "
                f"backbone.{part}_heads {heads}"
            )


def check_shared(run: Run | PublicRun, first: Run) -> None:
    """Raise UserError unless a run has the data and the measurements of ``first``, the first method's.

    A study imports one data set for each task and measures every sample set alike.
    """
    whole, shared = run.model_dump(), first.model_dump()
    for section in ("data", "evaluation"):
        for key, value in whole.get(section, {}).items():
            if value != shared[section][key] and f"{section}.{key}" not in NOT_SHARED:
                raise UserError(
                    f"{run.method} on {run.task} (study {run.study}): {section}.{key} is {value!r}, but "
                    f"{shared[section][key]!r} for {first.method}; it must be the same for all methods "
                    f"of a study: set it under overrides.tasks.{run.task}"
                )


def _check_meanflow(run: Run, where: str) -> None:
    """MeanFlow is trained without added terms, and its guidance is part of the target."""
    if run.objective.terms:
        raise UserError(
            f"{where}: objective meanflow has no added terms; leave out objective.terms "
            f"({', '.join(run.objective.terms)})"
        )
    if run.sampling.guidance_scale != 1:
        raise UserError(
            f"{where}: MeanFlow is guided by its training; set objective.meanflow.kappa instead of "
            "sampling.guidance_scale"
        )
