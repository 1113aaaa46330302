"""Which latents are cached on disk and which are encoded anew in every training step.

Both give the same network, up to rounding in the encoder's last digits: latents that are encoded
during training are rounded to float16, as those of a cache are. The choice is therefore not part of a
run's hash.
"""

from __future__ import annotations

from dataclasses import dataclass

from nanogen.config import own_models
from nanogen.config.load import load_model, trained_run
from nanogen.config.schema import PIXELS
from nanogen.config.study_schema import Study
from nanogen.errors import UserError

FLOAT16 = 2  # bytes


@dataclass(frozen=True)
class Latents:
    """The latents of one task's training images under one tokenizer.

    Attributes:
        size: bytes that a cache takes.
        trainings: runs that read them; without a cache each of them encodes the images again.
        cached: True where they are written once and read, False where every step encodes them.
        given: whether the study names a file that holds them.
    """

    task: str
    tokenizer: str
    size: int
    trainings: int
    cached: bool
    given: bool


def latents_of(study: Study) -> dict[tuple[str, str], Latents]:
    """Every (task, tokenizer) of the study's runs, and whether its latents are cached.

    With `auto`, latents are cached in the order of their bytes per training, the fewest first, as long
    as their sum stays below the budget. A cache given by path is always used and does not count.
    """
    runs = [trained_run(study, method, task) for task in study.tasks for method in study.trainings]
    counts: dict[tuple[str, str], int] = {}
    for run in runs:
        if run.tokenizer != PIXELS:
            own = int(own_models.is_own(study, run.method, run.task))
            counts[run.task, run.tokenizer] = counts.get((run.task, run.tokenizer), 0) + own
    images: dict[str, int] = {run.task: run.data.train_images for run in runs}
    sizes = {key: images[key[0]] * latent_bytes(study, key[1]) for key in counts}
    given = {key for key in counts if key[1] in study.latents.get(key[0], {})}
    chosen = given | _chosen(study, {key: n for key, n in counts.items() if key not in given}, sizes)
    return {
        key: Latents(*key, sizes[key], count, key in chosen, key in given)
        for key, count in counts.items()
    }


def latent_bytes(study: Study, tokenizer: str) -> int:
    """Bytes of one cached latent; 0 where its size is not configured."""
    channels, rows, columns = load_model(study, tokenizer).latent or (0, 0, 0)
    return channels * rows * columns * FLOAT16


def _chosen(
    study: Study, counts: dict[tuple[str, str], int], sizes: dict[tuple[str, str], int]
) -> set[tuple[str, str]]:
    if study.cache != "auto":
        return set(counts) if study.cache == "always" else set()
    if study.cache_budget_gb is None:
        raise UserError(
            f"study {study.study}: with cache: auto, set cache_budget_gb, the gigabytes that latents "
            "may take on the disk"
        )
    left, chosen = study.cache_budget_gb * 1e9, set()
    for key in sorted(filter(counts.get, counts), key=lambda key: (sizes[key] / counts[key], key)):
        if sizes[key] <= left:
            left -= sizes[key]
            chosen.add(key)
    return chosen
