"""Existing tables: the paper's, or those that a study has written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from nanogen.config import replicates
from nanogen.config.paths import Paths
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.report import paper_tables
from nanogen.report.rows import Row, read_rows

Tables = dict[str, list[Row]]


def _read(path: Path) -> list[Row]:
    rows = read_rows(path, needs=("method", "name", "family"))
    twice = [name for name, count in Counter(row["method"] for row in rows).items() if count > 1]
    if twice:
        raise UserError(f"{path} has {twice[0]!r} more than once; delete the file and make it again")
    return rows


def of_first_seeds(rows: Iterable[Row]) -> list[Row]:
    """One row per method, of its first training, so that further seeds do not count as methods."""
    return [row for row in rows if replicates.is_first(str(row["method"]))]


def published_tables(names: Iterable[str]) -> Tables:
    """The paper's tables with one row per method; for Table 3 the one at 100,000 iterations."""
    return {name: paper_tables.comparable(name) for name in names}


def study_tables(study: Study, names: Sequence[str], inputs: Iterable[Path], what: str) -> Tables:
    """A study's tables, from ``inputs`` by file name, or else from their default paths.

    For a method with several seeds, the first one counts. Raises UserError if a table is missing (the
    message says that ``what`` needs it) or contains a method twice.
    """
    given = {path.stem: path for path in inputs}
    tables = {}
    for name in names:
        path = given.get(name, Path(Paths(study).table(name)))
        if not path.exists():
            raise UserError(f"{path} does not exist; {what} needs it: make it with `snakemake {path}`")
        tables[name] = of_first_seeds(_read(path))
    return tables
