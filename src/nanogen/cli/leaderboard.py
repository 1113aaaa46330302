"""nanogen leaderboard: merge entries into a table that shows both axes."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: nanogen leaderboard --entries entries --published --output-prefix board"
    parser.add_argument(
        "--entries",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="entries: files, or folders of *.json",
    )
    parser.add_argument("--published", action="store_true", help="also show the paper's own numbers")
    parser.add_argument(
        "--output-prefix", required=True, help="writes PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX.html"
    )


def run(args: argparse.Namespace) -> None:
    if not args.entries and not args.published:
        raise UserError("nothing to show: give --entries PATH, --published or both")
    from nanogen.leaderboard import board, entry
    from nanogen.report import table_files

    found = board.table(entry.read_all(args.entries), args.published)
    for path in table_files.write(found, args.output_prefix):
        print(path)
