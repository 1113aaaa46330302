"""`nanogen extract-features`: all extractors' features of a sample set, by any number of processes."""

from __future__ import annotations

import argparse
import logging

from nanogen.cli.common import batch_argument, named_folders, read_stage, stage_arguments

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", output="the features (HDF5)")
    parser.add_argument(
        "--extractor", action="append", required=True, metavar="NAME=DIR", help="repeat for each"
    )
    batch_argument(parser)


def run(args: argparse.Namespace) -> bool:
    from nanogen.data import hdf5
    from nanogen.metrics.feature_files import FEATURES, write_features
    from nanogen.records import record

    stage = read_stage(args.config, "features")
    folders = named_folders("--extractor", args.extractor)
    made_from = [args.samples, *(file for folder in folders.values() for file in folder.iterdir())]
    made = hdf5.is_made(args.output, *FEATURES, stage["hash"], made_from)
    if made and record.is_there(args.output):
        log.info("%s: the features are there already", args.output)
        return False
    from nanogen.training.processes import processes

    with processes() as group:
        write_features(stage, args.samples, folders, args.output, args.batch_size, group)
    return True
