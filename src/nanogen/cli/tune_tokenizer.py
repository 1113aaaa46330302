"""`nanogen tune-tokenizer`: a VAE tuned end to end with a backbone; torchrun starts it, alone it is one
process."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.cli.common import read_stage
from nanogen.cli.train_tokenizer import Stage, arguments, learn
from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.stage1.loop import Learner, Steps
    from nanogen.training.processes import Processes

__all__ = ["arguments", "run"]


def run(args: argparse.Namespace) -> None:
    stage = read_stage(args.config, "model")
    if "joint" not in stage:
        raise UserError(
            f"{args.config} trains {stage['model']['name']} from scratch: use train-tokenizer, or give "
            "the model 'end_to_end'"
        )
    learn(args, stage, _with_a_backbone)


def _with_a_backbone(
    stage: Stage, train: ImageFile, folders: dict[str, Path], group: Processes
) -> tuple[Learner, Steps]:
    from nanogen.stage1.joint_batches import JointBatches
    from nanogen.stage1.joint_learner import JointLearner

    learner = JointLearner(stage, train.images, folders, group)
    batches = JointBatches(train.images, train.labels, stage, learner.trainee.noise, group)
    return learner, batches
