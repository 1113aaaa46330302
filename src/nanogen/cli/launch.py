"""`nanogen launch`: run a command under torchrun, on this machine or on the nodes of an srun step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from nanogen.cli.common import at_least
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=at_least("--processes", 1), default=1, help="processes per node"
    )
    parser.add_argument(
        "--mpi",
        default="",
        help="command that starts one task per node (default: srun inside a SLURM job)",
    )
    parser.add_argument(
        "--nodes", type=at_least("--nodes", 1), default=1, help="number of nodes that the step must have"
    )
    parser.add_argument("--gres", default="", help="devices that each node must have, e.g. gpu:8")
    parser.add_argument(
        "--wait", type=int, default=300, help="seconds within which all nodes must start"
    )
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="a command and its options"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.cli import main
    from nanogen.cli.stored import launched
    from nanogen.training.launch import launch, run_on_nodes
    from nanogen.training.nodes import in_job, step_here

    began = datetime.now(UTC)
    command = args.rest[1:] if args.rest[:1] == ["--"] else args.rest
    if not command:
        raise UserError(
            "no command to launch; for example: nanogen launch --processes 2 train --config ..."
        )
    mpi = args.mpi or ("srun" if in_job() else "")

    def start(command: Sequence[str]) -> None:
        if mpi:
            code = run_on_nodes(mpi, args.nodes, args.gres, args.processes, command, args.wait)
        else:
            code = launch(args.processes, command, main, args.nodes, args.gres, args.wait)
        if code:
            sys.exit(code)
        if not mpi and args.nodes * args.processes > 1 and step_here().node == 0:
            _note_usage(command, began)

    launched(command, start)


def _note_usage(command: Sequence[str], began: datetime) -> None:
    """Add the resource usage of all processes of this node to the records of a step.

    The first process wrote the records, and knows only its own usage.
    """
    from nanogen.files import read_json
    from nanogen.records import record

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config", type=Path, action="append", default=[])
    for option in ("--output", "--features"):
        parser.add_argument(option, type=Path, action="append", dest="outputs", default=[])
    step, _ = parser.parse_known_args(command)
    for config, output in product(step.config, step.outputs):
        record.write_usage(read_json(config), output, began)
