"""nanogen profile: where a study's time went, from the records beside its outputs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nanogen.cli.study import given_argument, read_study
from nanogen.config.paths import Paths
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Memory is the largest process's; runs that failed or were repeated are left out."
    parser.add_argument("--study", required=True, help="a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--timeline", action="store_true", help="list every run in the order of their start"
    )


def run(args: argparse.Namespace) -> None:
    from rich.console import Console

    from nanogen.report import profile, terminal

    root = Path(Paths(read_study(args.study, args.given)).root)
    runs = profile.runs(root)
    if not runs:
        raise UserError(
            f"{root} contains no record of a step; run the study first, or choose another one"
        )
    console = Console(width=None if sys.stdout.isatty() else terminal.PLAIN_WIDTH)
    console.print(profile.timeline(runs) if args.timeline else profile.by_command(runs))
    console.print(f"From the first run's start to the last one's end: {profile.elapsed(runs):.1f} s")
