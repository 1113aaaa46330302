"""`nanogen extract-features`: every extractor's features of one sample set."""

from __future__ import annotations

import argparse

from nanogen.cli.common import named_folders, read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", output="the features (HDF5)")
    parser.add_argument(
        "--extractor", action="append", required=True, metavar="NAME=DIR", help="repeat for each"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.feature_files import write_features

    stage = read_stage(args.config, "features")
    write_features(stage, args.samples, named_folders("--extractor", args.extractor), args.output)
