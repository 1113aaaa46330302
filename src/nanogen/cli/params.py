"""`nanogen params`: a run's parameter count, without allocating weights."""

from __future__ import annotations

import argparse

from nanogen.cli.common import run_arguments, stage_of_run


def arguments(parser: argparse.ArgumentParser) -> None:
    run_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from nanogen.backbones import parameter_count

    print(parameter_count(stage_of_run(args)))
