"""Which latents and text features are cached, and which are computed in every training step.

Both train the same network, up to rounding in the encoder's last digits: what is encoded during training
is rounded to float16, as a cache is. The choice is therefore not part of a run's hash, and may depend on
the disk. It must not change between two starts of a study, because Snakemake would repeat trainings that
read other files. A run therefore records it in ``results/<study>/caches.json`` and follows its record.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.config.cache_sizes import Cache, necessary, optional
from nanogen.config.load import once
from nanogen.config.plan import downloads
from nanogen.config.sample_sizes import sample_bytes
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.files import read_json, write_json

MARGIN = 0.1  # share of the free disk that caches leave to models, samples and others
ALWAYS = 10**9  # bytes; smaller studies always cache, so that they run alike on every machine
NOTE = "caches.json"


@dataclass(frozen=True)
class Choice:
    """Which of the possible caches of a study are used.

    Attributes:
        caches: all possible caches.
        cached: names of those that are written once and then read.
        budget: bytes that they may take together; None if the choice does not depend on a budget.
        why: the reason, as a plan prints it.
    """

    caches: Sequence[Cache]
    cached: frozenset[str]
    budget: float | None
    why: str

    def written(self) -> list[Cache]:
        """Caches that the study writes itself and reads."""
        return [c for c in self.caches if c.name in self.cached and not c.given and c.trainings]

    def encoded(self) -> list[Cache]:
        """Caches that are not written; trainings encode their content in every step."""
        return [c for c in self.caches if c.name not in self.cached and c.trainings]

    def of(self, kind: str, task: str, network: str | None) -> bool:
        """Whether the output of ``network`` on a task is cached."""
        return f"{kind}/{task}/{network}" in self.cached


@once
def choice(study: Study) -> Choice:
    """Return what the study caches on this machine.

    The study's key ``cache`` decides for all latents, ``text`` for all text features. With ``auto``,
    caches are added in the order of their bytes per training, smallest first, if they still fit the
    budget. A cache given by path is always used and does not count.
    """
    return choose(study, None)


def choose(study: Study, free: float | None) -> Choice:
    """Return `choice` for a disk with ``free`` bytes.

    None: for this machine's disk, following what a run has recorded.
    """
    caches = optional(study)
    wanted = {"latents": study.cache, "text": study.text}
    fixed = {c.name for c in caches if c.given or wanted[c.kind] in ("always", "cache")}
    left = [c for c in caches if not c.given and wanted[c.kind] == "auto"]
    small = study.cache_budget_gb is None and sum(c.size for c in left) <= ALWAYS
    if not left or small:
        said = f"cache: {study.cache}, text: {study.text}"
        return Choice(caches, frozenset(fixed | {c.name for c in left}), None, said)
    noted: Mapping[str, bool] = {}
    if study.cache_budget_gb is not None:
        budget = study.cache_budget_gb * 1e9
        why = f"cache_budget_gb: {study.cache_budget_gb:g}"
    else:
        noted = _noted(study) if free is None else {}
        budget = _budget(study, left, free)
        why = f"as {_note(study)} notes; delete it to choose again" if noted else "of the free disk"
    kept = [c for c in left if noted.get(c.name, False)]
    chosen = {c.name for c in kept}
    rest = budget - sum(c.size for c in kept)
    for cache in sorted(left, key=lambda c: (c.size / max(c.trainings, 1), c.name)):
        if cache.name not in noted and cache.trainings and cache.size <= rest:
            rest -= cache.size
            chosen.add(cache.name)
    return Choice(caches, frozenset(fixed | chosen), budget, why)


def note(study: Study) -> None:
    """Record the choice when a run begins; do nothing if it did not depend on the disk."""
    if study.cache_budget_gb is None and choice(study).budget is not None:
        noted = {c.name: c.name in choice(study).cached for c in choice(study).caches if not c.given}
        write_json(_note(study), {"cached": {**_noted(study), **noted}})


def _budget(study: Study, left: Sequence[Cache], free: float | None) -> float:
    """Return the bytes that caches may take.

    These are the free disk space and the existing caches, less the margin and less what must be stored
    in any case: downloads, images, features of loss terms, samples.
    """
    folder = Path("results", study.study)
    if free is None:
        there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())
        free = shutil.disk_usage(there).free
    own = sum(_there(folder, c.name) for c in left)
    needed = sum(max(0, size - _there(folder, name)) for name, size in necessary(study).items())
    needed += sample_bytes(study) + sum(int(item.megabytes * 1e6) for item in downloads(study))
    return max(0.0, (free + own) * (1 - MARGIN) - needed)


def _there(folder: Path, name: str) -> int:
    """Bytes of a cache, or of a task's images, that are already on the disk."""
    whole, shards = folder / f"{name}.h5", folder / name
    files = [whole, *shards.glob("*.h5")] if shards.is_dir() else [whole]
    return sum(file.stat().st_size for file in files if file.is_file())


def _note(study: Study) -> Path:
    return Path("results", study.study, NOTE)


def _noted(study: Study) -> Mapping[str, bool]:
    """Return whether each cache is used, by name, as recorded by a run; empty without a record."""
    path = _note(study)
    if not path.exists():
        return {}
    found: Any = read_json(path)
    noted = found.get("cached") if isinstance(found, dict) else None
    if not isinstance(noted, dict) or not all(isinstance(value, bool) for value in noted.values()):
        raise UserError(f"{path} is damaged: it does not say what is cached; delete it")
    return noted
