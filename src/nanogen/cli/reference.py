"""`nanogen reference`: compute features and moments of the real images, and FDr's constants."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import named_folders, read_stage, stage_arguments
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "val", output="the reference statistics (HDF5)")
    parser.add_argument("--train", type=Path, help="training images, if the stage needs them")
    parser.add_argument(
        "--extractor", action="append", required=True, metavar="NAME=DIR", help="repeat for each"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.data.images import ImageFile
    from nanogen.metrics.feature_files import SPLITS, write_reference

    stage = read_stage(args.config, "reference")
    given = {split: getattr(args, split) for split in SPLITS if split in stage["expects"]}
    if given.get("train", args.val) is None:
        raise UserError("this reference also needs training images: give --train FILE")
    files = {split: ImageFile(path, stage["expects"][split]) for split, path in given.items()}
    write_reference(stage, files, named_folders("--extractor", args.extractor), args.output)
