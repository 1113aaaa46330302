"""An entry of the leaderboard: one method's scores on both axes, and where each comes from.

It is a JSON file. `Entry` says what it may hold; config/schema/entry.schema.json is made from it.
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
# Relative and without "..": a file that is checked lies inside the folder that is given.
Inside = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$")]
# One line, and nothing that a spreadsheet would take for a formula.
Title = Annotated[str, Field(pattern=r"^[^=+\-@\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Method(Section):
    """What was measured."""

    name: Name = Field(description="its name in the tables, e.g. sd-vae-mse or meanflow-nfe2")
    family: Literal["rae", "vae", "pixel", "few-step", "public"] = Field(
        description="the group of the tables that it belongs to"
    )
    title: Title = Field(description="its name in print")


class Measured(Section):
    """One metric of one sample set, as its metric file holds it."""

    values: dict[str, FiniteFloat] = Field(min_length=1, description="numbers by name, unrounded")
    protocol: str = Field(min_length=1, description="how it was measured, one sentence")
    hash: Hash = Field(description="of the configuration that measured it")
    file: Inside = Field(description="the metric file, relative to the study's results")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the metric file")


class Scores(Section):
    """All metrics of one sample set."""

    task: Task = Field(description="the axis: imagenet or t2i (text to image)")
    guidance: Guidance = Field(description="whether the samples were drawn with guidance")
    samples: int | None = Field(gt=0, description="how many images; none where they are not there")
    metrics: dict[str, Measured] = Field(min_length=1, description="by metric, e.g. fid")

    @property
    def values(self) -> dict[str, float]:
        """Every number by its name."""
        return {name: value for m in self.metrics.values() for name, value in m.values.items()}


class Missing(Section):
    """A metric that the study has for its methods, but not for this one."""

    task: Task = Field(description="the axis")
    guidance: Guidance = Field(description="of the sample set")
    metric: str = Field(description="which")
    reason: str = Field(min_length=1, description="why it is not there")


class Provenance(Section):
    """What the numbers were made with, from the records of every step behind them."""

    seed: int | None = Field(description="which every random number follows from")
    commits: list[str] = Field(description="of the program, each once")
    versions: list[str] = Field(description="package and version, each once")
    devices: list[str] = Field(description="processors and GPUs, each once")
    unrecorded: list[str] = Field(description="outputs without a record of how they were made")


class Entry(Section):
    """One method's result on both axes, or on the one that was measured."""

    format: Literal["nanogen.entry"] = Field(description="what kind of file it is")
    format_version: Literal[1] = Field(description="of the format")
    hash: Hash = Field(description="of the configuration hashes of all metrics, sorted")
    nanogen: str = Field(description="version of the program that wrote it")
    source: Name = Field(description="the study: numbers of one source are compared with each other")
    method: Method = Field(description="what was measured")
    scores: list[Scores] = Field(min_length=1, description="one per task and guidance")
    missing: list[Missing] = Field(default_factory=list, description="metrics that are not there")
    provenance: Provenance = Field(description="what the numbers were made with")

    def of(self, task: str, guidance: str) -> Scores | None:
        """The scores of one sample set, None where it was not measured."""
        found = (s for s in self.scores if (s.task, s.guidance) == (task, guidance))
        return next(found, None)


def hash_of(scores: Iterable[Scores]) -> str:
    """One hash of all configurations behind the scores."""
    return config_hash(sorted({m.hash for found in scores for m in found.metrics.values()}))


def make(
    source: str, method: Method, scores: list[Scores], missing: list[Missing], provenance: Provenance
) -> Entry:
    """An entry with its header."""
    about = {"source": source, "method": method, "scores": scores, "missing": missing}
    return Entry(**label(*FORMAT, hash_of(scores)), **about, provenance=provenance)


def write(entry: Entry, path: Path) -> None:
    """Write an entry, whole or not at all."""
    write_json(path, entry.model_dump(mode="json"))


def read(path: Path) -> Entry:
    """An entry; raises UserError where it is missing, of another format or version, or incomplete,
    where a number is none, or where it names a sample set twice."""
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
    """The entries in files and in folders of them (``*.json``).

    Raises UserError where a path is missing, a folder holds none, or a method of one study is there
    twice.
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
