"""`nanogen make-data`: draw scenes or import photographs into one image file."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the image file (HDF5)")


def run(args: argparse.Namespace) -> None:
    from nanogen.data.images import write_images

    write_images(read_stage(args.config, "data"), args.output)
