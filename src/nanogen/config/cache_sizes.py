"""Sizes of what a study can or must store on the disk for its trainings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from nanogen.config import licences, own_models, terms
from nanogen.config.load import latent_shape, load_model, trained_run
from nanogen.config.schema import PIXELS, Data, Run, Task
from nanogen.config.study_schema import Study
from nanogen.data.stage import PLACE_BYTES, pixel_bytes

FLOAT16 = 2  # bytes
MEAN_TOKENS = 60  # mean number of tokens of a caption, for the estimate


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
        """The cache's path below ``results/<study>/``, without the suffix."""
        return f"{self.kind}/{self.task}/{self.network}"


def optional(study: Study) -> list[Cache]:
    """Return the caches that a study can do without, by encoding latents and text in every step."""
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
    """Return the bytes, by name, of what must be on the disk in any case.

    These are the images, and the features that added loss terms read.
    """
    sizes: dict[str, int] = {}
    for task in study.tasks:
        for method in study.methods:
            if own_models.is_own(study, method, task):
                sizes |= _of_run(study, trained_run(study, method, task))
    return sizes


def _of_run(study: Study, run: Run) -> dict[str, int]:
    count = run.data.train_images
    pixels = pixel_bytes(count, run.data.resolution)
    sizes = {f"data/{run.task}": count * PLACE_BYTES if _in_place(run.data, pixels) else pixels}
    for part, encoder in terms.caches(run).items():
        cells = 1 if part == "cls" else _tokens(study, run)
        size = (load_model(study, encoder).width or 0) * cells * FLOAT16
        sizes[f"features/{run.task}/{encoder}/{part}"] = count * size
    return sizes


def _in_place(data: Data, pixels: int) -> bool:
    """Whether images stay where they are, as `nanogen.data.in_place` decides when they are imported.

    Files that are not there yet are judged by what is known of the data set on the hub.
    """
    if data.store != "auto" or data.source == "webdataset":
        return data.store != "pixels"
    known = [licences.data_set(pinned) for pinned in data.hub]
    files = data.train_images * sum(about.kb for about in known) * 1000
    return bool(known) and not data.root and all(about.arrow for about in known) and files < pixels


def _tokens(study: Study, run: Run) -> int:
    """Number of image tokens of the backbone, which is about the number of the encoder's patches."""
    _, rows, columns = latent_shape(study, run)
    return rows * columns // run.backbone.patch**2
