"""`nanogen launch`: run a command under torchrun, on this machine or on the nodes of an srun step."""

from __future__ import annotations

import argparse
import sys

from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=1, help="processes per node")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="COMMAND ...")


def run(args: argparse.Namespace) -> None:
    from nanogen.training.launch import launch

    command = args.rest[1:] if args.rest[:1] == ["--"] else args.rest
    if not command:
        raise UserError("say what to launch, e.g. nanogen launch --processes 2 train --config ...")
    code = launch(args.processes, command)
    if code:
        sys.exit(code)
