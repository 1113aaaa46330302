"""The `nanogen` program.

The module of a command is imported when the command is called, and heavy libraries only when needed.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from nanogen import __version__
from nanogen.cli.listing import COMMANDS, GROUPS, listed
from nanogen.ending import UNWRITTEN
from nanogen.errors import UserError, nearest
from nanogen.interrupts import interruptible
from nanogen.text import log_to_terminal, printable
from nanogen.training.stopping import CANCELLED, Interrupted

Made = tuple[Mapping[str, Any], Path]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nanogen",
        description="Train, sample and evaluate diffusion transformers on class-conditional ImageNet "
        "and text-to-image generation. `snakemake` runs a whole study.",
        epilog=f"{listed()}\n\n`nanogen COMMAND --help` prints a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nanogen {__version__}")
    parser.add_argument("command", metavar="COMMAND")
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"nanogen.cli.{COMMANDS[name][0]}")


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    parser = argparse.ArgumentParser(prog=f"nanogen {name}", description=COMMANDS[name][1])
    _module(name).arguments(parser)
    return parser


def parsers() -> dict[str, dict[str, argparse.ArgumentParser]]:
    """Return the parsers of all commands by name, in the groups of ``nanogen --help``."""
    return {title: {name: parser_of(name) for name in commands} for title, commands in GROUPS.items()}


def _record(
    args: argparse.Namespace, made: Sequence[Made] | None, argv: Sequence[str], began: datetime
) -> None:
    """Write the records of a step of the graph next to its outputs.

    A step is a command with --config and --output.
    """
    from nanogen.files import read_json
    from nanogen.records import facts, record

    config, output = getattr(args, "config", None), getattr(args, "output", None)
    if made is None and isinstance(config, Path) and isinstance(output, Path):
        made = [(read_json(config), output)]
    if made and facts.rank() == 0:
        record.write(made, argv, began)


def _note_commit(args: argparse.Namespace) -> None:
    """Look up the commit for a step's record before it runs: a later one is not that of its code."""
    from nanogen.records import facts

    if getattr(args, "config", None) and getattr(args, "output", None) and facts.rank() == 0:
        facts.commit()


def _run(name: str, args: argparse.Namespace, argv: Sequence[str], began: datetime) -> None:
    """Run a command, or take its output from a store; an output that belongs in one is written there."""
    from nanogen import store
    from nanogen.cli.stored import entry_of

    def make(output: Path | None) -> None:
        if output:
            args.output = output
        _note_commit(args)
        _record(args, _module(name).run(args), argv, began)

    if entry := entry_of(name, args):
        store.provide(entry, args.output, make)
    else:
        make(None)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    It is 0 for success, 2 for a user's mistake, 130 if interrupted, 75 if out of time, and 1 if the
    output cannot be written.
    """
    argv = sys.argv[1:] if argv is None else argv
    began = datetime.now(UTC)
    log_to_terminal(logging.INFO)
    name = _parser().parse_args(argv[:1] or ["--help"]).command
    try:
        if name not in COMMANDS:
            raise UserError(f"unknown command {name!r}{nearest(name, COMMANDS)}")
        args = parser_of(name).parse_args(argv[1:])
        with interruptible():
            _run(name, args, argv, began)
    except UserError as error:
        print(printable(f"nanogen {name}: {error}"), file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output, e.g. head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNWRITTEN
    except KeyboardInterrupt as error:
        print(f"nanogen {name}: {str(error) or 'interrupted'}", file=sys.stderr)
        return error.code if isinstance(error, Interrupted) else CANCELLED
    return 0
