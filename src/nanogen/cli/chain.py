"""`nanogen chain`: several commands in one process, where starting one costs more than its work."""

from __future__ import annotations

import argparse
import sys
from itertools import groupby

from nanogen.errors import UserError

THEN = "--then"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"example: nanogen chain score-geneval ARGUMENTS {THEN} score-simpleeval ARGUMENTS"
    parser.add_argument(
        "commands",
        nargs=argparse.REMAINDER,
        metavar="COMMAND ...",
        help=f"commands with their arguments, {THEN} between them; the first that fails ends the chain",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.cli import main

    parts = groupby(args.commands, THEN.__ne__)
    commands = [list(words) for is_command, words in parts if is_command]
    if not commands:
        raise UserError(f"no command is given: nanogen chain COMMAND ... {THEN} COMMAND ...")
    for command in commands:
        if code := main(command):
            sys.exit(code)
