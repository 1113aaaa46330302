"""Compare two runs of a study file by file; only measured times may differ."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

TIMES = ("seconds", "images_per_second", "memory_gb", "hours")  # suffixes of keys and columns
# The quotient of two columns of times in tables/times.csv, and the claims about times.
RATIO = "ratio"
CLAIMS_OF_TIMES = ("comparable-cost", "meanflow-slow")
# Files that show times: unless such a file is a CSV, only its existence can be compared.
OF_TIMES = ("tables/times.", "tables/tokenizers.", "tables/claims.", "figures/figure2.")
REPORT = "report.html"  # contains all tables and images, including those of times
RECORDS = (".provenance", "provenance.json")  # when, where and how long a step ran


def files_of(results: Path) -> set[str]:
    """Return every file below ``results``, also hidden ones, except logs and Snakemake's time stamps."""
    found = {path.relative_to(results).as_posix() for path in results.rglob("*") if not path.is_dir()}
    own = {name for name in found if name.endswith(".snakemake_timestamp")}
    return {name for name in found - own if not name.startswith("logs/")}


def differences(results: Path, expected: Path) -> list[str]:
    """List the files that only one run has, or that differ in more than times."""
    here, there = files_of(results), files_of(expected)
    missing = [f"{name} is missing" for name in sorted(there - here)]
    left = [f"{name} is left over" for name in sorted(here - there)]
    differ = [
        f"{name} differs"
        for name in sorted(here & there)
        if not name.endswith(RECORDS) and _differ(results / name, expected / name, name)
    ]
    return missing + left + differ


def _differ(first: Path, second: Path, name: str) -> bool:
    if first.read_bytes() == second.read_bytes():
        return False
    if first.suffix in (".json", ".jsonl"):
        return _json(first) != _json(second)
    if name == REPORT:
        return _report_without_times(first) != _report_without_times(second)
    if name.startswith(OF_TIMES):
        return first.suffix == ".csv" and _rows(first) != _rows(second)
    return True


def _json(path: Path) -> list[Any]:
    text = path.read_text()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    return [_without_times(json.loads(line)) for line in lines]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if not k.endswith(TIMES)}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


def _report_without_times(report: Path) -> str:
    text = report.read_text()
    for shown in (path for name in OF_TIMES for path in report.parent.glob(f"{name}*")):
        if shown.suffix == ".html":
            body = shown.read_text().partition("<body>")[2].partition("</body>")[0]
            part = body.replace("h1>", "h2>")  # a table's title is a second heading in the report
        elif shown.suffix == ".png":
            part = base64.b64encode(shown.read_bytes()).decode()
        else:
            continue
        assert part in text, f"{shown.name} is not in the report"
        text = text.replace(part, "")
    return text


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows without columns of times and without claims about times."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if not k.endswith((*TIMES, RATIO))}
        for row in rows
        if row.get("claim") not in CLAIMS_OF_TIMES
    ]
