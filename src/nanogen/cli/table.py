"""nanogen table: one of the paper's tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import argparse

from nanogen.cli.study import read_study, source_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="table1, table2, table3, table4, tokenizers or sweep")
    source_arguments(parser)
    parser.add_argument("--output-prefix", required=True, help="PREFIX of .csv, .md and .tex")


def run(args: argparse.Namespace) -> None:
    from nanogen.report import measured, published, render

    if args.published:
        table = published.table(args.name)
    else:
        table = measured.table(args.name, read_study(args.study, args.given), args.input)
    for path in render.write(table, args.output_prefix):
        print(path)
