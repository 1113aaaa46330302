"""`nanogen train-tokenizer`: stage 1 of one tokenizer; torchrun starts it, alone it is one process."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from nanogen.cli.common import named_folders, read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "train", "val", output="the tokenizer's folder")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a frozen network that it is made with: encoder, perceptual distance, discriminator; may "
        "be repeated",
    )
    parser.add_argument("--state", type=Path, required=True, help="folder to save and resume from")
    parser.add_argument("--checkpoint-every", type=int, default=500, help="steps")
    parser.add_argument("--log-every", type=int, default=50, help="steps")


def run(args: argparse.Namespace) -> None:
    from contextlib import nullcontext

    from nanogen.data.images import ImageFile
    from nanogen.stage1.assembly import network_folders
    from nanogen.stage1.loop import train_tokenizer
    from nanogen.training.checkpoint import locked
    from nanogen.training.distributed import processes

    stage = read_stage(args.config, "model")
    folders = network_folders(stage, named_folders("--network", args.network))
    expected = stage["expects"]
    train, val = ImageFile(args.train, expected["data"]), ImageFile(args.val, expected["val"])
    with processes() as group, locked(args.state) if group.main else nullcontext():
        every = (args.checkpoint_every, args.log_every)
        images = (train.images, val.images)
        train_tokenizer(stage, *images, folders, args.state, args.output, group, *every)
        if group.main:
            shutil.rmtree(args.state, ignore_errors=True)
