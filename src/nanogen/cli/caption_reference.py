"""`nanogen caption-reference`: compute the moments of a caption set's images, for its FID."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "prompts", "extractor", output="the moments (HDF5)")
    parser.add_argument(
        "--downloads",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to download the set's archive to, if it is on the hub",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.caption_sets import fetch_images
    from nanogen.metrics.caption_fid import write_caption_reference

    stage = read_stage(args.config, "caption_reference")
    images = fetch_images(stage["captions"], stage["source"], args.downloads)
    write_caption_reference(stage, args.prompts, args.extractor, images, args.output)
