"""The trace of a cell: the chain of outputs behind it, their headers and records, and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.config import Study
from nanogen.provenance.cells import Cell
from nanogen.provenance.chain import Link, chain
from nanogen.records import record
from nanogen.report.results import read_metric

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Step:
    """One output of the chain: ``facts`` by name, and a sentence in ``missing`` for each gap."""

    link: Link
    facts: dict[str, Any]
    missing: list[str]


def trace(study: Study, cell: Cell, verify: bool = False) -> list[Step]:
    """Return all steps behind a cell, beginning with the metric file.

    Args:
        verify: compare the files with their recorded checksums.

    Raises UserError if an existing file cannot be read.
    """
    links = chain(study, cell.run, cell.variant, cell.metric)
    steps = [_step(link, cell.address.root, study, verify) for link in links]
    steps[0].missing.extend(_value_gap(cell, links[0]))
    return steps


def _value_gap(cell: Cell, link: Link) -> list[str]:
    """Return a sentence if the value in the metric file differs from that in the table."""
    path = cell.address.root / str(link.path)
    if not path.exists():
        return []
    value = read_metric(path).values.get(cell.key)
    if value == cell.value:
        return []
    return [f"{path} gives {cell.key} {value!r}, {cell.address.table} {cell.value!r}: make it again"]


def _step(link: Link, root: Path, study: Study, verify: bool) -> Step:
    expected = link.stage["hash"]
    facts = {"what": link.what, "file": None, "configuration": expected, "seed": link.stage.get("seed")}
    if "stage" not in link.stage:
        return Step(link, facts, [f"{link.what}: study {study.study} has no step with hash {expected}"])
    if link.path is None:
        return Step(link, facts, [f"{link.what} were never stored: each training step encoded its own"])
    path = root / link.path
    facts["file"] = str(path)
    if not path.exists():
        return Step(link, facts, [f"{path} is not there: not made yet, or deleted after use"])
    found = record.header(path).get("hash")
    missing = []
    if found is None:
        missing.append(f"{path} carries no hash: it was not made by this program")
    elif found != expected:
        missing.append(f"{path} carries hash {found}, study {study.study} configures {expected}")
        facts["configuration"] = found
    return Step(link, *_recorded(path, found, facts, missing, verify))


def _recorded(
    path: Path, hash_: str | None, facts: dict[str, Any], missing: list[str], verify: bool
) -> tuple[dict[str, Any], list[str]]:
    """Facts and gaps, completed by those of the record beside the file."""
    noted = record.read(path)
    if noted is None:
        return facts, [*missing, f"{path} has no record of how it was made ({record.place(path)})"]
    if noted["hash"] != hash_:
        return facts, [*missing, f"{record.place(path)} is of hash {noted['hash']}, not of this file"]
    kept = ("commit", "versions", "device", "processes", "began", "seconds", "command", "sha256")
    facts |= {key: noted[key] for key in kept}
    if noted["commit"] is None:
        missing.append(f"{path} was made by a copy of the program that is not a checkout: no commit")
    if verify:
        missing += _changed(path, noted["sha256"])
    return facts, missing


def _changed(path: Path, noted: dict[str, str | None]) -> list[str]:
    now = record.checksums(path)
    if path.is_file():  # in a shared store the file has another name
        now = dict(zip(noted, now.values(), strict=True))
    changed = [name for name, digest in noted.items() if digest and now.get(name) != digest]
    return [f"{path} is not what was made: {', '.join(changed)} changed"] if changed else []


def checksum(facts: dict[str, Any]) -> str | None:
    """The checksum that represents an output: the file's own, or that of a network's weights."""
    sums = facts.get("sha256") or {}
    return sums.get(WEIGHTS) or next(iter(sums.values()), None)
