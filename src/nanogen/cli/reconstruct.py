"""`nanogen reconstruct`: measure how well a tokenizer reconstructs images, in one process or more."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import batch_argument, read_stage, stage_arguments
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(
        parser,
        "val",
        "tokenizer",
        "extractor",
        output="a folder for reconstruction.json (the scores) and reconstructions.h5 (a few images)",
    )
    parser.add_argument(
        "--perceptual", type=Path, help="folder of the LPIPS network, if LPIPS is measured"
    )
    batch_argument(parser)


def run(args: argparse.Namespace) -> None:
    stage = read_stage(args.config, "reconstruction")
    folders = {"tokenizer": args.tokenizer, "extractor": args.extractor}
    if stage["perceptual"]:
        if args.perceptual is None:
            raise UserError("this study measures LPIPS: give --perceptual, the network's folder")
        folders["perceptual"] = args.perceptual
    from nanogen.metrics.reconstruction import write_reconstruction
    from nanogen.training.processes import processes

    with processes() as group:
        write_reconstruction(stage, args.val, folders, args.output, args.batch_size, group)
