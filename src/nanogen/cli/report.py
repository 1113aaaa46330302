"""nanogen report: a study's tables and figures on one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.study import given_argument, read_study


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", required=True, help="a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--input", type=Path, nargs="+", required=True, help="tables (HTML) and images (PNG) to include"
    )
    parser.add_argument("--output", type=Path, required=True, help="the page (HTML)")


def run(args: argparse.Namespace) -> None:
    from nanogen.files import write_text
    from nanogen.report.page import page

    write_text(args.output, page(read_study(args.study, args.given), args.input))
    print(args.output)
