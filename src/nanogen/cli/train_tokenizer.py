"""`nanogen train-tokenizer`: train one tokenizer (stage 1), under torchrun or in one process."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nanogen.cli.common import named_folders, read_stage, saving_arguments, stage_arguments
from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.stage1.batches import Batch
    from nanogen.stage1.learner import Learner
    from nanogen.stage1.loop import Steps
    from nanogen.training.processes import Processes

Seen = TypeVar("Seen")


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "train", "val", output="the tokenizer's folder")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a network that training needs: encoder, perceptual distance, discriminator, or the VAE to "
        "start from; may be repeated",
    )
    saving_arguments(parser, checkpoint_every=500)


def run(args: argparse.Namespace) -> None:
    stage = ModelStage.from_json(read_stage(args.config, "model"))
    if stage.joint:
        raise UserError(f"{args.config} tunes {stage.model.name} end to end: use tune-tokenizer")
    learn(args, stage, _from_scratch)


def _from_scratch(
    stage: ModelStage, train: ImageFile, folders: dict[str, Path], group: Processes
) -> tuple[Learner[Batch], Steps[Batch]]:
    from nanogen.stage1.batches import Batches
    from nanogen.stage1.learner import TokenizerLearner

    learner = TokenizerLearner(stage, train, folders, group)
    return learner, Batches(train.images, stage, learner.trainee.noise, group)


def learn(
    args: argparse.Namespace,
    stage: ModelStage,
    make: Callable[
        [ModelStage, ImageFile, dict[str, Path], Processes], tuple[Learner[Seen], Steps[Seen]]
    ],
) -> None:
    """Train the tokenizer of ``stage`` with the learner and the batches that ``make`` returns."""
    from contextlib import nullcontext

    from nanogen.data.images import ImageFile
    from nanogen.files import remove_folder
    from nanogen.stage1.assembly import network_folders
    from nanogen.stage1.loop import train_tokenizer
    from nanogen.training.checkpoint import locked
    from nanogen.training.execution import Saving
    from nanogen.training.processes import processes

    folders = network_folders(stage, named_folders("--network", args.network))
    expected = stage.expects
    train, val = ImageFile(args.train, expected["data"]), ImageFile(args.val, expected["val"])
    with processes() as group, locked(args.state) if group.main else nullcontext():
        learner, batches = make(stage, train, folders, group)
        train_tokenizer(
            stage,
            learner,
            batches,
            val,
            state=args.state,
            output=args.output,
            group=group,
            saving=Saving(args.checkpoint_every, args.log_every, args.deadline),
        )
        if group.main:
            remove_folder(args.state)
