"""`nanogen extract-features`: all extractors' features of a sample set, by any number of processes."""

from __future__ import annotations

import argparse

from nanogen.cli.common import batch_argument, named_folders, read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", output="the features (HDF5)")
    parser.add_argument(
        "--extractor", action="append", required=True, metavar="NAME=DIR", help="repeat for each"
    )
    batch_argument(parser)


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.feature_files import write_features
    from nanogen.training.distributed import processes

    stage = read_stage(args.config, "features")
    folders = named_folders("--extractor", args.extractor)
    with processes() as group:
        write_features(stage, args.samples, folders, args.output, args.batch_size, group)
