"""nanogen summary: print a finished study's main tables and the paths of its files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nanogen.cli.study import given_argument, read_study
from nanogen.config.paths import Paths
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", required=True, help="a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--table",
        type=Path,
        nargs="*",
        default=[],
        help="CSV files (default: the main tables of the study)",
    )
    parser.add_argument("--all", action="store_true", help="print every table of the study")
    parser.add_argument(
        "--figure", type=Path, nargs="*", default=[], help="figures and grids (default: the study's)"
    )


def run(args: argparse.Namespace) -> None:
    from rich.console import Console

    from nanogen.report import profile, terminal

    study = read_study(args.study, args.given)
    root = Path(Paths(study).root)
    figures = args.figure or sorted(root.glob("figures/**/*.png"))
    for path in figures:
        if not path.exists():
            raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
    show = terminal.show if args.all or args.table else terminal.show_briefly
    show(
        Console(width=None if sys.stdout.isatty() else terminal.PLAIN_WIDTH),
        study.study,
        args.table or sorted(root.glob("tables/*.csv")),
        figures,
        [page for page in (root / "report.html", root / "explorer.html") if page.exists()],
        profile.runs(root),
    )
