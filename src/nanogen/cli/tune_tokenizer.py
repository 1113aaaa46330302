"""`nanogen tune-tokenizer`: tune a VAE end to end with a backbone, under torchrun or in one process."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.cli.common import read_stage
from nanogen.cli.train_tokenizer import arguments, learn
from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile
    from nanogen.stage1.joint_batches import JointBatch
    from nanogen.stage1.learner import Learner
    from nanogen.stage1.loop import Steps
    from nanogen.training.processes import Processes

__all__ = ["arguments", "run"]


def run(args: argparse.Namespace) -> None:
    stage = ModelStage.from_json(read_stage(args.config, "model"))
    if not stage.joint:
        raise UserError(
            f"{args.config} trains {stage.model.name} from scratch: use train-tokenizer, or give the "
            "model 'end_to_end'"
        )
    learn(args, stage, _with_a_backbone)


def _with_a_backbone(
    stage: ModelStage, train: ImageFile, folders: dict[str, Path], group: Processes
) -> tuple[Learner[JointBatch], Steps[JointBatch]]:
    from nanogen.stage1.joint_batches import JointBatches
    from nanogen.stage1.joint_learner import JointLearner

    learner = JointLearner(stage, train, folders, group)
    batches = JointBatches(train.images, train.labels, stage, learner.trainee.noise, group)
    return learner, batches
