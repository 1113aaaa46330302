"""nanogen summary: what to look at of a finished study, its main tables, where everything lies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nanogen.cli.study import given_argument, read_study
from nanogen.config.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", required=True, help="a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--table", type=Path, nargs="*", default=[], help="tables (CSV), else the study's main ones"
    )
    parser.add_argument("--all", action="store_true", help="print every table of the study")
    parser.add_argument(
        "--figure", type=Path, nargs="*", default=[], help="figures and grids, else the study's"
    )
    parser.add_argument("--report", type=Path, help="Snakemake's report")


def run(args: argparse.Namespace) -> None:
    from rich.console import Console

    from nanogen.report import profile, terminal

    study = read_study(args.study, args.given)
    root = Path(Paths(study).root)
    console = Console(width=None if sys.stdout.isatty() else terminal.PLAIN_WIDTH)
    tables = args.table or sorted(root.glob("tables/*.csv"))
    whole = args.all or args.table
    terminal.show(
        console,
        study.study,
        [path for path in tables if whole or path.stem in terminal.MAIN],
        tables,
        args.figure or sorted(root.glob("figures/**/*.png")),
        args.report,
        profile.runs(root),
    )
    if (page := root / "explorer.html").exists():
        console.print("\nExplorer, for a browser", style="bold", highlight=False)
        console.print(f"  {page}", highlight=False, markup=False, soft_wrap=True)
