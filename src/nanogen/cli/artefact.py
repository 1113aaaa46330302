"""Make tables and figures with the functions listed in `nanogen.report.artefacts`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen.config import Study
from nanogen.config.study_schema import FigureStyle
from nanogen.errors import UserError, nearest
from nanogen.report import paper_tables
from nanogen.report.artefacts import FIGURES, TABLES, Artefact
from nanogen.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(name: str, study: Study | None, inputs: Sequence[Path] = ()) -> Table:
    """Return a table of a study, or of the paper's numbers if ``study`` is None.

    Args:
        inputs: the files to read; other files that are needed are read from their default paths.

    Raises UserError if the study or the paper does not have the table, or if a file is missing.
    """
    artefact = _known(name, TABLES)
    if study is None and artefact.published == "copied":
        return paper_tables.table(name)
    _check(artefact, study)
    made = _make(artefact, study, inputs)
    if study is not None and artefact.scores and not made.rows:
        raise UserError(f"study {study.study} has no results for {artefact.title}")
    return made


def figure(
    name: str, study: Study | None, inputs: Sequence[Path], style: FigureStyle
) -> tuple[Figure, list[str]]:
    """Return a figure of a study or of the paper's numbers, and lines that describe it; see `table`."""
    artefact = _known(name, FIGURES)
    _check(artefact, study)
    return _make(artefact, study, inputs, style)


def _known(name: str, among: Mapping[str, Artefact]) -> Artefact:
    if name == "figure3":
        raise UserError(
            "Figure 3 shows images of the paper's own networks, which cannot be reconstructed from "
            "published numbers; `snakemake figure3` draws it for a study, after half and all of training"
        )
    if name not in among:
        kind = next(iter(among.values())).kind
        raise UserError(f"unknown {kind} {name!r}{nearest(name, among)}")
    return among[name]


def _check(artefact: Artefact, study: Study | None) -> None:
    if study is None and not artefact.published:
        why = artefact.unpublished or f"{artefact.name} is not a {artefact.kind} of the paper's numbers"
        raise UserError(f"{why}; give --study instead of --published")


def _make(artefact: Artefact, *arguments: Any) -> Any:
    module, _, function = artefact.function.partition(":")
    return getattr(importlib.import_module(module), function)(*arguments)
