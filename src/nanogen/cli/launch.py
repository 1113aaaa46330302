"""`nanogen launch`: run a command under torchrun, on this machine or on the nodes of an srun step."""

from __future__ import annotations

import argparse
import subprocess
import sys

from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=1, help="processes per node")
    parser.add_argument("--mpi", default="", help="starts one task per node, e.g. srun; none: here")
    parser.add_argument("--nodes", type=int, default=1, help="with --mpi: nodes")
    parser.add_argument("--gres", default="", help="with --mpi: generic resources, e.g. gpu:8")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="COMMAND ...")


def run(args: argparse.Namespace) -> None:
    from nanogen.training.launch import launch, srun

    command = args.rest[1:] if args.rest[:1] == ["--"] else args.rest
    if not command:
        raise UserError("say what to launch, e.g. nanogen launch --processes 2 train --config ...")
    if args.mpi:
        started = srun(args.mpi, args.nodes, args.gres, args.processes, command)
        code = subprocess.call(started)
    else:
        code = launch(args.processes, command)
    if code:
        sys.exit(code)
