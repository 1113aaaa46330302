"""The inputs of sampling besides the model: tokenizer, prompts and conditions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanogen.backbones.embeddings import Condition
from nanogen.config.sample_stage import SetStage, TrainedSetStage
from nanogen.prompts.files import Prompt

Prompts = list[Prompt]


def tokenizer_of(stage: TrainedSetStage, folder: Path | None) -> Any:
    """Load the tokenizer of a ``sample`` or ``online`` stage.

    ``folder`` is None for methods in pixel space. Raises UserError if it contains another tokenizer.
    """
    if stage.tokenizer == "pixels":
        from nanogen.tokenizers.pixels import Pixels

        return Pixels(stage.train.latent[1])
    from nanogen.models.card import expect_model
    from nanogen.tokenizers import load_tokenizer

    assert folder is not None
    expect_model(folder, stage.expects["tokenizer"])
    return load_tokenizer(folder, stage.tokenizer_model)


def prompts_of(stage: SetStage, path: Path) -> Prompts:
    """Read the prompts in ``path``; raise UserError if they are of another configuration."""
    from nanogen.files import check_label, read_json

    prompts = read_json(path)
    check_label(prompts, path, "prompts", 1, stage.expects["prompts"])
    return prompts["prompts"]


def class_conditions(labels: np.ndarray) -> Condition:
    """Return the condition of class labels, int64 (B,)."""
    return Condition(labels=torch.from_numpy(labels))


def text_conditions(stage: TrainedSetStage, path: Path) -> Callable[[np.ndarray], Condition]:
    """Return a function from indices of prompts (B,) to their condition.

    ``path`` is the file with the text features of the prompts. Raises UserError if it is missing or of
    another configuration.
    """
    from nanogen.caches.files import TextFile

    text = TextFile(path, stage.expects["text"])
    tokens = stage.train.conditioner.tokens
    return lambda rows: Condition.from_text(*text.batch(rows, 0), tokens)
