"""nanogen table: one of the paper's tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nanogen.cli.study import read_study, source_arguments

if TYPE_CHECKING:
    from nanogen.report.table import Table


def arguments(parser: argparse.ArgumentParser) -> None:
    names = "table1 to table4, seeds, sweep, tokenizers, correlations, sensitivity, influence, claims"
    parser.add_argument("name", help=f"{names}, times or regimes")
    source_arguments(parser)
    parser.add_argument("--output-prefix", required=True, help="PREFIX of .csv, .md and .tex")


def run(args: argparse.Namespace) -> None:
    from nanogen.report import render

    for path in render.write(_table(args), args.output_prefix):
        print(path)


def _table(args: argparse.Namespace) -> Table:
    from nanogen.claims import table as claims_table
    from nanogen.report import (
        correlation_tables,
        paper_tables,
        regimes,
        seeds,
        study_tables,
        training_times,
    )

    study = None if args.published else read_study(args.study, args.given)
    if args.name in correlation_tables.TABLES:
        return correlation_tables.table(args.name, study, args.input)
    if args.name == claims_table.NAME:
        return claims_table.table(study, args.input)
    if study is None:
        return paper_tables.table(args.name)
    if args.name == regimes.NAME:
        return regimes.table(study)
    if args.name == training_times.NAME:
        return training_times.table(study, args.input)
    if args.name == seeds.NAME:
        return seeds.table(study, args.input)
    return study_tables.table(args.name, study, args.input)
