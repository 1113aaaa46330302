"""nanogen explorer: one HTML page to explore the methods on both axes."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.study import given_argument, read_study
from nanogen.errors import UserError

PUBLISHED = "published"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        required=True,
        help=f"{PUBLISHED}: the paper's numbers alone; or a study's name or file, beside them",
    )
    given_argument(parser)
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        default=[],
        help="the study's tables (CSV) and metric files to read, else those at their usual places",
    )
    parser.add_argument(
        "--samples", type=int, default=6, help="images shown of each sample set (default 6), 0 for none"
    )
    parser.add_argument("--output", type=Path, required=True, help="the page (HTML)")


def run(args: argparse.Namespace) -> None:
    from nanogen.report.explorer import page

    if args.samples < 0:
        raise UserError(f"--samples {args.samples}: must be 0 or more")
    study = None if args.source == PUBLISHED else read_study(args.source, args.given)
    page.write(page.content(study, args.input, args.samples), args.output)
    print(args.output)
