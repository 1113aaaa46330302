"""nanogen table: a table of the paper or of a study as CSV, Markdown and LaTeX."""

from __future__ import annotations

import argparse

from nanogen.cli.study import read_study, source_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    from nanogen.report.artefacts import TABLES

    parser.add_argument("name", metavar="NAME", help=", ".join(TABLES))
    source_arguments(parser)
    parser.add_argument("--output-prefix", required=True, help="PREFIX of .csv, .md and .tex")


def run(args: argparse.Namespace) -> None:
    from nanogen.cli import artefact
    from nanogen.report import render

    study = None if args.published else read_study(args.study, args.given)
    table = artefact.table(args.name, study, args.input)
    for path in render.write(table, args.output_prefix):
        print(path)
