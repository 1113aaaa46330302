"""nanogen trace: where a number of a table comes from, step by step."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from nanogen.cli.study import given_argument, read_study

if TYPE_CHECKING:
    from nanogen.provenance.cells import Cell
    from nanogen.provenance.trace import Step


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: nanogen trace results/nano/tables/table2.csv:dinov2-b:fid"
    parser.add_argument("cell", help="TABLE:METHOD:COLUMN of a measured table (CSV)")
    parser.add_argument(
        "--study", help="name or file of the study, if the table's folder does not name it"
    )
    given_argument(parser)
    parser.add_argument("--verify", action="store_true", help="compare the files with their checksums")
    parser.add_argument("--json", action="store_true", help="print every step with all its details")


def run(args: argparse.Namespace) -> None:
    from nanogen.provenance import cells
    from nanogen.provenance.trace import trace

    address = cells.parse(args.cell)
    study = read_study(args.study or address.study, args.given)
    cell = cells.read(address, study)
    steps = trace(study, cell, args.verify)
    if args.json:
        known = [{**step.facts, "missing": step.missing} for step in steps]
        print(json.dumps(known, indent=1, ensure_ascii=False))
        return
    _show(cell, steps)


def _show(cell: Cell, steps: list[Step]) -> None:
    at = cell.address
    print(f"{at.column} of {at.method} in {at.table}: {cell.value}")
    for step in steps:
        indent = "  " * (step.link.depth + 1)
        print(f"{indent}{step.facts['what']}: {step.facts['file'] or 'not stored'}")
        for line in _lines(step.facts):
            print(f"{indent}    {line}")
    missing = [sentence for step in steps for sentence in step.missing]
    for sentence in missing:
        print(f"missing: {sentence}")
    if not missing:
        print(f"nothing is missing: {len(steps)} outputs, each with its record")


def _lines(facts: dict[str, Any]) -> list[str]:
    """Return configuration, program, device and time, and command of a step, if they are known."""
    from nanogen.provenance.trace import checksum

    made_by = [f"configuration {facts['configuration']}"]
    if facts["seed"] is not None:
        made_by.append(f"seed {facts['seed']}")
    if "command" not in facts:
        return [", ".join(made_by)]
    made_by.append(f"commit {facts['commit'] or 'unknown'}")
    digest = checksum(facts)
    versions = (f"{name} {version}" for name, version in facts["versions"].items())
    count = facts["processes"]
    took = f"{count} process{'es' * (count > 1)}, {facts['began']}, {facts['seconds']} s"
    return [
        ", ".join(made_by),
        ", ".join(versions),
        f"{facts['device']}, {took}",
        *([f"sha256 {digest}"] if digest else []),
        facts["command"],
    ]
