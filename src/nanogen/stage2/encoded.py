"""What a training encodes itself, in place of reading a cache: images, captions.

Both give what the cache would hold, rounded as it is, up to the last digits of the frozen network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones.embeddings import Condition
from nanogen.caches.half_precision import finite_half
from nanogen.config.cache_stage import CacheStage
from nanogen.config.schema import Conditioner
from nanogen.data.images import ImageFile
from nanogen.data.rows import WindowedRows
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
        stage: CacheStage,
        expected: str,
        images: Path,
        tokenizer: Path,
        device: torch.device,
        chunk: int,
    ):
        _check(stage, expected, "--encode", "latents")
        file = ImageFile(images, stage.expects["data"])
        self.labels, self.images = file.labels, WindowedRows(file.rows())
        expect_model(tokenizer, stage.expects["tokenizer"])
        self.tokenizer = load_tokenizer(tokenizer, stage.model).to(device)
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


class EncodedText:
    """Conditions from captions, encoded when a batch is made; a caption kind is drawn per sample.

    Args:
        stage: the `text` stage of that cache; captions and encoder are those it expects.
        expected: the hash of the text features that the run is trained on.
        device: where the text encoder works.

    Raises UserError where an input is missing or another than expected.
    """

    def __init__(
        self,
        stage: CacheStage,
        expected: str,
        images: Path,
        encoder: Path,
        conditioner: Conditioner,
        device: torch.device,
    ):
        _check(stage, expected, "--encode-text", "text features")
        self.images = ImageFile(images, stage.expects["data"])
        expect_model(encoder, stage.expects["encoder"])
        from nanogen.models.text_features import TextEncoder

        self.encoder = TextEncoder(encoder, stage.model, device)
        self.kinds, self.tokens = conditioner.captions, conditioner.tokens

    def __len__(self) -> int:
        return len(self.images)

    def load(self, rows: np.ndarray, draws: np.ndarray) -> Condition:
        """Features (B, L, width), rounded as a cache is, L at most ``conditioner.tokens``."""
        drawn = (draws * len(self.kinds)).astype(int)
        texts = np.empty(len(rows), object)
        for k, kind in enumerate(self.kinds):
            texts[drawn == k] = self.images.captions_of(rows[drawn == k], kind)
        ids, _ = self.encoder.token_ids(texts.tolist())
        found = [finite_half(part, "text features") for part in self.encoder.features(ids)]
        mask = np.arange(max(map(len, found))) < np.array([[len(part)] for part in found])
        padded = np.zeros((*mask.shape, self.encoder.width), np.float16)
        padded[mask] = np.concatenate(found)
        return Condition.from_text(padded, mask, self.tokens)


def _check(stage: CacheStage, expected: str, option: str, what: str) -> None:
    if stage.hash != expected:
        raise UserError(
            f"{option} configures {what} of hash {stage.hash}, but the run is trained on those "
            f"of hash {expected}; give the configuration of the same study"
        )
