"""nanogen submit: write leaderboard entries from metric files, or check entries against them."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.study import given_argument, read_study
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: nanogen submit --study nano --method jit --output entries; "
        "nanogen submit --check entries/jit.json --results results/nano"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--study", help="name or file of the study whose metric files are read")
    what.add_argument(
        "--check",
        type=Path,
        nargs="+",
        metavar="ENTRY",
        help="entries, or folders of entries, to compare",
    )
    given_argument(parser)
    parser.add_argument(
        "--method", action="append", default=[], help="only this method; may be repeated"
    )
    parser.add_argument("--output", type=Path, help="with --study: folder to write METHOD.json files to")
    parser.add_argument("--results", type=Path, help="with --check: the study's folder, results/STUDY")


def run(args: argparse.Namespace) -> None:
    if args.check:
        _check(args)
        return
    if args.output is None:
        raise UserError("--study needs --output FOLDER, where the entries are written")
    from nanogen.leaderboard import entry
    from nanogen.leaderboard.submission import submit

    for made in submit(read_study(args.study, args.given), args.method):
        path = args.output / f"{made.method.name}.json"
        entry.write(made, path)
        print(path)
        for gap in made.missing:
            print(f"    no {gap.metric} on {gap.task} {gap.guidance} guidance: {gap.reason}")


def _check(args: argparse.Namespace) -> None:
    if args.results is None:
        raise UserError("--check needs --results FOLDER, the folder of the study's results")
    from nanogen.leaderboard import entry
    from nanogen.leaderboard.checking import check

    for found in entry.read_all(args.check):
        check(found, args.results)
        count = sum(len(scores.values) for scores in found.scores)
        print(f"{found.method.name} of study {found.source}: {count} values agree with the metric files")
