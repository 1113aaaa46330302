"""An entry of the leaderboard: one method's scores on both axes, and the origin of each.

It is a JSON file. `Entry` is its schema, from which config/schema/entry.schema.json is generated.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from nanogen.config.schema import Task
from nanogen.config.section import Section
from nanogen.config.validation import Layer, validate
from nanogen.data.walk import entries
from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json, write_json
from nanogen.identity import config_hash

FORMAT = ("entry", 1)
Guidance = Literal["with", "without"]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
# Relative and without "..", so that every checked file is inside the given folder.
Inside = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$")]
# One line that a spreadsheet does not take for a formula.
Title = Annotated[str, Field(pattern=r"^[^=+\-@\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Method(Section):
    """The method that was measured."""

    name: Name = Field(description="its name in the tables, e.g. sd-vae-mse or meanflow-nfe2")
    family: Literal["rae", "vae", "pixel", "few-step", "public"] = Field(
        description="its group in the tables"
    )
    title: Title = Field(description="its printed name")


class Measured(Section):
    """One metric of one sample set, as in its metric file."""

    values: dict[str, FiniteFloat] = Field(min_length=1, description="numbers by name, unrounded")
    protocol: str = Field(min_length=1, description="how it was measured, one sentence")
    hash: Hash = Field(description="hash of the configuration of the metric")
    file: Inside = Field(description="the metric file, relative to the study's results")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the metric file")


class Scores(Section):
    """All metrics of one sample set."""

    task: Task = Field(description="the axis: imagenet or t2i (text-to-image)")
    guidance: Guidance = Field(description="whether the samples were drawn with guidance")
    samples: int | None = Field(gt=0, description="number of images; null if it is unknown")
    metrics: dict[str, Measured] = Field(min_length=1, description="values by metric, e.g. fid")

    @property
    def values(self) -> dict[str, float]:
        """Every number by its name."""
        return {name: value for m in self.metrics.values() for name, value in m.values.items()}


class Missing(Section):
    """A metric that the study has for its methods, but not for this one."""

    task: Task = Field(description="the axis")
    guidance: Guidance = Field(description="guidance of the sample set")
    metric: str = Field(description="the missing metric")
    reason: str = Field(min_length=1, description="why it is missing")


class Provenance(Section):
    """How the numbers were computed, from the records of all steps behind them."""

    seed: int | None = Field(description="the study's seed, from which all random numbers are derived")
    commits: list[str] = Field(description="commits of the program, without duplicates")
    versions: list[str] = Field(description="packages with versions, without duplicates")
    devices: list[str] = Field(description="processors and GPUs, without duplicates")
    unrecorded: list[str] = Field(description="outputs without a record of how they were made")


class Entry(Section):
    """One method's results on both axes, or on the one that was measured."""

    format: Literal["nanogen.entry"] = Field(description="name of the file format")
    format_version: Literal[1] = Field(description="version of the format")
    hash: Hash = Field(description="hash of the sorted configuration hashes of all metrics")
    nanogen: str = Field(description="version of the program that wrote it")
    source: Name = Field(description="the study: numbers of one source are compared with each other")
    method: Method = Field(description="the method that was measured")
    scores: list[Scores] = Field(min_length=1, description="one per task and guidance")
    missing: list[Missing] = Field(default_factory=list, description="metrics that are missing")
    provenance: Provenance = Field(description="how the numbers were computed")

    def of(self, task: str, guidance: str) -> Scores | None:
        """Return the scores of one sample set; None if it was not measured."""
        found = (s for s in self.scores if (s.task, s.guidance) == (task, guidance))
        return next(found, None)


def hash_of(scores: Iterable[Scores]) -> str:
    """Return one hash of all configurations behind the scores."""
    return config_hash(sorted({m.hash for found in scores for m in found.metrics.values()}))


def make(
    source: str, method: Method, scores: list[Scores], missing: list[Missing], provenance: Provenance
) -> Entry:
    """Build an entry with its header."""
    about = {"source": source, "method": method, "scores": scores, "missing": missing}
    return Entry(**label(*FORMAT, hash_of(scores)), **about, provenance=provenance)


def write(entry: Entry, path: Path) -> None:
    """Write an entry atomically."""
    write_json(path, entry.model_dump(mode="json"))


def read(path: Path) -> Entry:
    """Read an entry.

    Raises UserError if the file is missing, incomplete or of another format or version, if a value is
    not a finite number, if a sample set occurs twice, or if the hash does not match the metrics.
    """
    content: Any = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a leaderboard entry: expected a JSON object")
    check_label(content, path, *FORMAT, None)
    entry = validate(Entry, [Layer(str(path), content)])
    sets = [(found.task, found.guidance) for found in entry.scores]
    for task, guidance in sets:
        if sets.count((task, guidance)) > 1:
            raise UserError(f"{path} has scores of {task} {guidance} guidance twice; remove one of them")
    if entry.hash != (expected := hash_of(entry.scores)):
        raise UserError(
            f"{path} carries hash {entry.hash}, but the configurations of its metrics give {expected}; "
            "write it with `nanogen submit`"
        )
    return entry


def read_all(paths: Iterable[Path]) -> list[Entry]:
    """Read the entries in files and in folders of them (``*.json``).

    Raises UserError if a path is missing, a folder contains no entry, or two entries are of the same
    method and study.
    """
    first: dict[tuple[str, str], Path] = {}
    entries = []
    for path in (file for given in paths for file in _files(given)):
        entry = read(path)
        named = (entry.source, entry.method.name)
        if named in first:
            raise UserError(
                f"{path} and {first[named]} are both of {entry.method.name} of study {entry.source}; "
                "remove one of them"
            )
        first[named] = path
        entries.append(entry)
    return entries


def _files(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    found = entries(given).only({".json"}).files
    if not found:
        raise UserError(f"{given} holds no leaderboard entry (*.json); write one with `nanogen submit`")
    return found
