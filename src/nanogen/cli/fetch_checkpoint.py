"""`nanogen fetch-checkpoint`: download a published trained model and convert it to a model folder."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the model's folder")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.released_files import fetch_checkpoint

    fetch_checkpoint(read_stage(args.config, "train"), args.output)
