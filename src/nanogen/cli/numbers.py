"""nanogen numbers: the numbers that a text quotes, as LaTeX commands."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.study import given_argument, read_study


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", required=True, help="a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        required=True,
        help="tables (CSV); the paper's own are in published/",
    )
    parser.add_argument("--output", type=Path, required=True, help="LaTeX file to write")


def run(args: argparse.Namespace) -> None:
    from nanogen.files import write_text
    from nanogen.report import numbers

    found = numbers.commands(read_study(args.study, args.given), args.input)
    write_text(args.output, numbers.text(found))
    print(f"{args.output}: {len(found)} numbers")
