"""What a study could keep on the disk for its trainings, and the bytes that each of these takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from nanogen.config import own_models, terms
from nanogen.config.load import latent_shape, load_model, trained_run
from nanogen.config.schema import PIXELS, Run, Task
from nanogen.config.study_schema import Study
from nanogen.data.stage import stays_in_shards

FLOAT16 = 2  # bytes
PLACE = 24  # bytes that say where a picture lies
MEAN_TOKENS = 60  # of a caption, for the estimate


Kind = Literal["latents", "text"]


@dataclass(frozen=True)
class Cache:
    """The output of one frozen network on one task's training images or captions.

    Attributes:
        network: a tokenizer or a text encoder.
        size: bytes on the disk.
        trainings: runs that read it; without a cache each of them computes it in every step.
        given: whether the study names a file that holds it.
    """

    kind: Kind
    task: str
    network: str
    size: int
    trainings: int
    given: bool = False

    @property
    def name(self) -> str:
        """As its path below ``results/<study>/``, without the suffix."""
        return f"{self.kind}/{self.task}/{self.network}"


def optional(study: Study) -> list[Cache]:
    """What can be computed in every training step instead: latents and text features."""
    runs = [trained_run(study, method, task) for task in study.tasks for method in study.trainings]
    counts: Counter[tuple[Kind, Task, str]] = Counter()
    for run in runs:
        own = int(own_models.is_own(study, run.method, run.task))
        if run.tokenizer != PIXELS:
            counts["latents", run.task, run.tokenizer] += own
        if run.conditioner.model:
            counts["text", run.task, run.conditioner.model] += own
    images = {run.task: run.data.train_images for run in runs}
    tokens = {run.task: run.conditioner.tokens for run in runs}
    found = []
    for (kind, task, network), count in counts.items():
        given = kind == "latents" and network in study.latents.get(task, {})
        each = (
            latent_bytes(study, network)
            if kind == "latents"
            else min(MEAN_TOKENS, tokens[task]) * (load_model(study, network).width or 0) * FLOAT16
        )
        found.append(Cache(kind, task, network, images[task] * each, count, given))
    return found


def latent_bytes(study: Study, tokenizer: str) -> int:
    """Bytes of one cached latent; 0 where its size is not configured."""
    channels, rows, columns = load_model(study, tokenizer).latent or (0, 0, 0)
    return channels * rows * columns * FLOAT16


def necessary(study: Study) -> dict[str, int]:
    """What has to be on the disk in any case, by name, and its bytes: images and the features that added
    loss terms read."""
    sizes: dict[str, int] = {}
    for task in study.tasks:
        for method in study.methods:
            if own_models.is_own(study, method, task):
                sizes |= _of_run(study, trained_run(study, method, task))
    return sizes


def _of_run(study: Study, run: Run) -> dict[str, int]:
    count = run.data.train_images
    left = stays_in_shards(run.data.source, run.data.store)
    sizes = {f"data/{run.task}": count * (PLACE if left else run.data.resolution**2 * 3)}
    for part, encoder in terms.caches(run).items():
        cells = 1 if part == "cls" else _tokens(study, run)
        size = (load_model(study, encoder).width or 0) * cells * FLOAT16
        sizes[f"features/{run.task}/{encoder}/{part}"] = count * size
    return sizes


def _tokens(study: Study, run: Run) -> int:
    """The number of image tokens of the backbone, about that of the encoder's patches."""
    _, rows, columns = latent_shape(study, run)
    return rows * columns // run.backbone.patch**2
