"""The chain behind a metric file: the inputs of each file, back to data and frozen networks.

Every stage lists the hashes of its inputs (``expects``). An index of a study's stages by hash maps these
to files, and a walk from the metric file's stage gives the whole chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanogen.config import (
    PIXELS,
    PublicRun,
    Run,
    Study,
    load_model,
    stages,
    terms,
    trained,
    variants,
)
from nanogen.config.cache_choice import choice
from nanogen.config.load import trained_run
from nanogen.config.paths import Paths
from nanogen.config.stages import Stage
from nanogen.config.used_networks import models_of


@dataclass(frozen=True)
class Link:
    """One output of the chain.

    Attributes:
        what: a description, e.g. ``samples``.
        path: the file, or a network's folder; None if it is never stored.
        stage: the study's configuration for it; only the hash if the study does not make it.
        depth: its distance from the metric file, in steps.
    """

    what: str
    path: Path | None
    stage: Stage
    depth: int = 0


def chain(study: Study, run: Run | PublicRun, variant: str, *metrics: str) -> list[Link]:
    """Return all outputs behind the metric files of a sample set, each once and before its inputs."""
    known = {link.stage["hash"]: link for link in _outputs(study, run, variant)}
    links: list[Link] = []
    seen: set[str] = set()
    for metric in metrics:
        path = Paths(study).metric(run.method, run.task, variant, metric)
        stage = stages.metric(study, run.method, variant, metric)
        links += _walk(Link(f"metric {metric}", Path(path), stage), known, seen)
    return links


def _walk(link: Link, known: dict[str, Link], seen: set[str]) -> Iterator[Link]:
    """Yield the link and then its inputs, depth first."""
    yield link
    for name, hash_ in link.stage.get("expects", {}).items():
        if hash_ in seen:
            continue
        seen.add(hash_)
        source = known.get(hash_) or Link(name, None, {"hash": hash_})
        yield from _walk(Link(source.what, source.path, source.stage, link.depth + 1), known, seen)


def _outputs(study: Study, run: Run | PublicRun, variant: str) -> Iterator[Link]:
    """Yield the outputs that a sample set and its scores can depend on."""
    yield from _shared(study)
    yield from _of_sample_set(study, run, variant)
    if isinstance(run, Run):
        yield from _of_training(study, run)


def _shared(study: Study) -> Iterator[Link]:
    """Data, prompts, frozen networks and the reference."""
    paths = Paths(study)
    networks = models_of(study)
    trained_on = {str(of) for name in networks if (of := load_model(study, name).data)}
    for data in dict.fromkeys((*study.tasks, *sorted(trained_on))):
        for split in ("train", "val"):
            stage = stages.data(study, data, split)
            yield Link(f"{data} data, {split}", Path(paths.data(data, split)), stage)
    for name in networks:
        yield Link(f"network {name}", Path(paths.model(name)), stages.model(study, name))
    if "imagenet" in study.tasks:
        yield Link("reference", Path(paths.reference), stages.reference(study))
    if "t2i" in study.tasks:
        yield Link("prompts", Path(paths.prompts), stages.prompts(study))
        for name in trained_run(study, study.methods[0], "t2i").evaluation.captions.given:
            stage = stages.caption_reference(study, name)
            yield Link(f"captions of {name}", Path(paths.captions(name)), stage)
        if "dpg" in stages.answering(study):
            yield Link("questions", Path(paths.questions), stages.questions(study))


def _of_sample_set(study: Study, run: Run | PublicRun, variant: str) -> Iterator[Link]:
    paths, named = Paths(study), (run.method, run.task)
    samples = stages.sample(study, *named, variant)
    yield Link("samples", Path(paths.samples(*named, variant)), samples)
    if run.task == "imagenet":
        features = stages.features(study, run.method, variant)
        yield Link("features", Path(paths.features(*named, variant)), features)
    if variant == variants.BEST:
        guidance = stages.guidance(study, run.method)
        yield Link("chosen guidance", Path(paths.guidance(run.method)), guidance)
        for name in variants.swept(study.sweep) if study.sweep else ():
            metric = Path(paths.metric(*named, name, "fid"))
            yield Link(f"metric fid, {name}", metric, stages.distribution(study, run.method, name))
            yield from _of_sample_set(study, run, name)


def _of_training(study: Study, run: Run) -> Iterator[Link]:
    paths, task = Paths(study), run.task
    for weights in variants.trainings(run):
        card = Path(paths.trained(run.method, task, weights))
        yield Link("trained model", card.parent, stages.trained_model(study, run.method, task, weights))
    if run.tokenizer != PIXELS:
        cached = choice(study).of("latents", task, run.tokenizer)
        file = Path(paths.latents(task, run.tokenizer)) if cached else None
        yield Link("latents", file, stages.latents(study, task, run.tokenizer))
    if start := run.training.initialise_from:
        yield Link("initial weights", Path(start.model), trained.read(Path(start.model)))
    for of in (task, stages.drawn_texts(task)) if run.conditioner.model else ():
        encoder = str(run.conditioner.model)
        cached = of != task or choice(study).of("text", task, encoder)
        file = Path(paths.text(of, encoder)) if cached else None
        yield Link(f"text of {of}", file, stages.text(study, of, encoder))
    for part, encoder in terms.caches(run).items():
        stage = stages.vision(study, task, encoder, part)
        yield Link(f"vision features, {part}", Path(paths.vision(task, encoder, part)), stage)
