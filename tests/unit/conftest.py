"""Fixtures: a study small enough to train in a test, with scenes in pixels and a DDT of width 32."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from nanogen.config import load_study, stages
from nanogen.config.study_schema import Study
from nanogen.config.validation import merged
from nanogen.data.image_import import write_images

TINY = {
    "data": {"train_images": 100, "val_images": 20},
    "backbone": {
        "encoder_width": 32,
        "encoder_depth": 2,
        "encoder_heads": 2,
        "decoder_width": 32,
        "decoder_depth": 1,
        "decoder_heads": 2,
    },
    "training": {
        "steps": 8,
        "batch_size": 16,
        "noise_chunk": 8,
        "checkpoint_every": 4,
        "log_every": 2,
        "optimizer": {"warmup_steps": 2, "decay_start": 4, "decay_end": 8},
    },
    "sampling": {"steps": 4},
    "evaluation": {"images": 10, "untrained_images": 10},
}


def tiny_study(**changes: Any) -> Study:
    """The nano study at the smallest size, with ``changes`` to its keys."""
    return load_study("nano", merged(TINY, changes))


@pytest.fixture(scope="session")
def tiny():
    """The function ``tiny_study``."""
    torch.set_num_threads(1)
    return tiny_study


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory) -> Path:
    """HDF5 file of the tiny study's training images on the ImageNet axis."""
    path = tmp_path_factory.mktemp("data") / "train.h5"
    write_images(stages.data(tiny_study(), "imagenet", "train"), path)
    return path


@pytest.fixture(autouse=True)
def own_signal_handlers():
    """Restore pytest's signal handlers, which a training replaces."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
