"""`nanogen train-tokenizer`: stage 1 of one tokenizer; torchrun starts it, alone it is one process."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen.cli.common import named_folders, read_stage, saving_arguments, stage_arguments
from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.stage1.loop import Learner, Steps
    from nanogen.training.processes import Processes

Stage = dict[str, Any]
Make = Callable[["Stage", "ImageFile", "dict[str, Path]", "Processes"], "tuple[Learner, Steps]"]


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "train", "val", output="the tokenizer's folder")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a network that it is made with: encoder, perceptual distance, discriminator, the VAE that "
        "it starts from; may be repeated",
    )
    saving_arguments(parser, checkpoint_every=500)


def run(args: argparse.Namespace) -> None:
    stage = read_stage(args.config, "model")
    if "joint" in stage:
        raise UserError(f"{args.config} tunes {stage['model']['name']} end to end: use tune-tokenizer")
    learn(args, stage, _from_scratch)


def _from_scratch(
    stage: Stage, train: ImageFile, folders: dict[str, Path], group: Processes
) -> tuple[Learner, Steps]:
    from nanogen.stage1.batches import Batches
    from nanogen.stage1.loop import Learner

    learner = Learner(stage, train.images, folders, group)
    return learner, Batches(train.images, stage, learner.trainee.noise, group)


def learn(args: argparse.Namespace, stage: Stage, make: Make) -> None:
    """Train the tokenizer of ``stage`` by the learner and the batches that ``make`` gives."""
    from contextlib import nullcontext

    from nanogen.data.images import ImageFile
    from nanogen.stage1.assembly import network_folders
    from nanogen.stage1.loop import train_tokenizer
    from nanogen.training.checkpoint import locked
    from nanogen.training.execution import Saving
    from nanogen.training.processes import processes

    folders = network_folders(stage, named_folders("--network", args.network))
    expected = stage["expects"]
    train, val = ImageFile(args.train, expected["data"]), ImageFile(args.val, expected["val"])
    with processes() as group, locked(args.state) if group.main else nullcontext():
        learner, batches = make(stage, train, folders, group)
        train_tokenizer(
            stage,
            learner,
            batches,
            val.images,
            state=args.state,
            output=args.output,
            group=group,
            saving=Saving(args.checkpoint_every, args.log_every, args.deadline),
        )
        if group.main:
            shutil.rmtree(args.state, ignore_errors=True)
