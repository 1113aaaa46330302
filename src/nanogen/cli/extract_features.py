"""`nanogen extract-features`: all extractors' features of a sample set, by any number of processes."""

from __future__ import annotations

import argparse

from nanogen.cli.common import named_folders, read_stage, stage_arguments
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", output="the features (HDF5)")
    parser.add_argument(
        "--extractor", action="append", required=True, metavar="NAME=DIR", help="repeat for each"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=128,
        help="images read at a time; changes no result, the networks see 32 at a time (default: 128)",
    )


def run(args: argparse.Namespace) -> None:
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: it must be at least 1")
    from nanogen.metrics.feature_files import write_features
    from nanogen.training.distributed import processes

    stage = read_stage(args.config, "features")
    folders = named_folders("--extractor", args.extractor)
    with processes() as group:
        write_features(stage, args.samples, folders, args.output, args.batch_size, group)
