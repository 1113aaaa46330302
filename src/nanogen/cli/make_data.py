"""`nanogen make-data`: draw scenes or import photographs into one image file."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the image file (HDF5)")
    parser.add_argument("--root", help="where the data lies, if the configuration does not say")


def run(args: argparse.Namespace) -> None:
    from nanogen.data.image_import import write_images

    stage = read_stage(args.config, "data")
    if args.root and stage["data"]["root"] is None:
        stage["data"]["root"] = args.root
    write_images(stage, args.output)
