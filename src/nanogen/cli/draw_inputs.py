"""`nanogen draw-inputs`: draw images in the format of a task's data set."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the data set's folder")


def run(args: argparse.Namespace) -> None:
    from nanogen.data.scenes.rehearsal import write_inputs

    write_inputs(read_stage(args.config, "inputs"), args.output)
