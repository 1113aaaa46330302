"""Tables and figures made by the functions that their list names (`nanogen.report.artefacts`)."""

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
    """A table of a study, or of the paper's numbers where ``study`` is None.

    Args:
        inputs: the files to read; those not among them are looked for at their usual places.

    Raises UserError for a table that the study or the paper has not, and where a file is missing.
    """
    artefact = _known(name, TABLES)
    if study is None and artefact.published == "copied":
        return paper_tables.table(name)
    _check(artefact, study)
    return _make(artefact, study, inputs)


def figure(
    name: str, study: Study | None, inputs: Sequence[Path], style: FigureStyle
) -> tuple[Figure, list[str]]:
    """A figure of a study or of the paper's numbers, and lines that say what it shows; see `table`."""
    artefact = _known(name, FIGURES)
    _check(artefact, study)
    return _make(artefact, study, inputs, style)


def _known(name: str, among: Mapping[str, Artefact]) -> Artefact:
    if name == "figure3":
        raise UserError(
            "Figure 3 shows images of the paper's own networks, which no published number gives "
            "back; `snakemake figure3` draws a study's own, after half and after all of its training"
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
