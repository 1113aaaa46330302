"""nanogen bundle: a study's tables, figures and numbers in one archive with their checksums."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.study import given_argument, read_study


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", required=True, help="a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--input", type=Path, nargs="+", required=True, help="files of its results to pack"
    )
    parser.add_argument("--output", type=Path, required=True, help="ZIP file to write")


def run(args: argparse.Namespace) -> None:
    from nanogen.report.bundle import pack

    pack(read_study(args.study, args.given), args.input, args.output)
    print(f"{args.output}: {len(args.input)} files")
