"""`nanogen train`: stage 2 of one run; torchrun starts it, alone it is one process."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from nanogen.cli.common import named_folders, read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="folder of the trained model")
    parser.add_argument("--latents", type=Path, help="latent cache, for methods with a tokenizer")
    parser.add_argument("--data", type=Path, help="images, for methods without one")
    parser.add_argument("--text", type=Path, help="text features, for text to image")
    parser.add_argument("--cls", type=Path, help="cls features of a vision encoder, for REG")
    parser.add_argument("--patches", type=Path, help="its patch features, for REPA")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a frozen network that a loss term compares with; may be repeated",
    )
    parser.add_argument("--state", type=Path, required=True, help="folder to save and resume from")
    parser.add_argument("--checkpoint-every", type=int, default=1000, help="steps")
    parser.add_argument("--log-every", type=int, default=50, help="steps")


def run(args: argparse.Namespace) -> None:
    from contextlib import nullcontext

    from nanogen.objectives import term_networks
    from nanogen.training.checkpoint import locked
    from nanogen.training.distributed import processes
    from nanogen.training.loop import train
    from nanogen.training.sources import TrainingData

    stage = read_stage(args.config, "train")
    source = TrainingData(stage, args.latents, args.data, args.text, args.cls, args.patches)
    folders = named_folders("--network", args.network)
    with processes() as group, locked(args.state) if group.main else nullcontext():
        networks = term_networks(stage, folders, group.device)
        every = (args.checkpoint_every, args.log_every)
        train(stage, source, args.state, args.output, group, *every, networks)
        if group.main:
            shutil.rmtree(args.state, ignore_errors=True)
