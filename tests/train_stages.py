"""``train`` stages of which a test sets only the keys that it needs."""

from __future__ import annotations

from collections.abc import Sequence

from nanogen.config import load_study, stages
from nanogen.config.train_stage import TrainStage


def train_stage(latent: Sequence[int], method: str, task: str, **training: int) -> TrainStage:
    """A ``train`` stage on latents of this shape with the ``training`` keys; its seed is 3."""
    stage = stages.train(load_study("nano"), "jit", "imagenet")
    about = {"seed": 3, "method": method, "task": task, "latent": list(latent)}
    return TrainStage.from_json({**stage, **about, "training": {**stage["training"], **training}})
