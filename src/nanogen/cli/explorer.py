"""nanogen explorer: one HTML page to explore the methods on both axes."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.study import named_source, named_source_arguments
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    named_source_arguments(parser)
    parser.add_argument(
        "--samples", type=int, default=6, help="images shown per sample set, 0 for none (default: 6)"
    )
    parser.add_argument("--output", type=Path, required=True, help="the page (HTML)")


def run(args: argparse.Namespace) -> None:
    from nanogen.report.explorer import page

    if args.samples < 0:
        raise UserError(f"--samples {args.samples}: must be 0 or more")
    page.write(page.content(named_source(args), args.input, args.samples), args.output)
    print(args.output)
