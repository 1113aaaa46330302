"""Latents that are encoded in every training step, for data whose cache the disk cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanogen.data.images import ImageFile
from nanogen.data.rows import Held
from nanogen.errors import UserError
from nanogen.models.card import expect_model
from nanogen.tokenizers import load_tokenizer


class Encoded:
    """Images by index, as the latents that a cache of them would hold.

    Args:
        stage: the `latents` stage of that cache; the images and the tokenizer are those it expects.
        expected: the hash of the latents that the run is trained on.
        device: where the tokenizer works.
        chunk: images that are encoded together. What a network says of an image differs in the last
            digits with its batch, so this makes it the same on any number of processes.

    Raises UserError where an input is missing or another than expected.
    """

    def __init__(
        self,
        stage: Mapping[str, Any],
        expected: str,
        images: Path,
        tokenizer: Path,
        device: torch.device,
        chunk: int,
    ):
        if stage["hash"] != expected:
            raise UserError(
                f"--encode configures latents of hash {stage['hash']}, but the run is trained on those "
                f"of hash {expected}; give the configuration of the same study"
            )
        file = ImageFile(images, stage["expects"]["data"])
        self.labels, self.images = file.labels, Held(file.rows())
        expect_model(tokenizer, stage["expects"]["tokenizer"])
        self.tokenizer = load_tokenizer(tokenizer, stage["model"]).to(device)
        self.shape = self.tokenizer.latent_shape
        self.device, self.chunk = device, chunk

    def __len__(self) -> int:
        return len(self.labels)

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        self.images.ahead(windows)

    def load(self, rows: np.ndarray) -> Tensor:
        """float32 (B, C, H, W), normalised and rounded as a cache is."""
        images = torch.from_numpy(self.images[rows]).to(self.device)
        encoded = torch.cat([self.tokenizer.encode(part) for part in images.split(self.chunk)])
        return encoded.half().float().cpu()
