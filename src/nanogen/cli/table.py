"""nanogen table: write tables of the paper or of a study as CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

import argparse

from nanogen.cli.study import read_study, source_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    from nanogen.report.artefacts import TABLES

    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(TABLES))
    source_arguments(parser)
    parser.add_argument(
        "--output-prefix",
        required=True,
        help="writes PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX.html; for several tables, a folder",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.cli import artefact
    from nanogen.report import table_files

    study = None if args.published else read_study(args.study, args.given)
    for name in args.names:
        prefix = args.output_prefix if len(args.names) == 1 else f"{args.output_prefix}/{name}"
        for path in table_files.write(artefact.table(name, study, args.input), prefix):
            print(path)
