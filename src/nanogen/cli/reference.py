"""`nanogen reference`: features and moments of the real images, and FDr's constants."""

from __future__ import annotations

import argparse

from nanogen.cli.common import named_folders, read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "train", "val", output="the reference statistics (HDF5)")
    parser.add_argument(
        "--extractor", action="append", required=True, metavar="NAME=DIR", help="repeat for each"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.data.images import ImageFile
    from nanogen.metrics.feature_files import write_reference

    stage = read_stage(args.config, "reference")
    train = ImageFile(args.train, stage["expects"]["train"])
    val = ImageFile(args.val, stage["expects"]["val"])
    write_reference(stage, train, val, named_folders("--extractor", args.extractor), args.output)
