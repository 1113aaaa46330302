"""Encode images and captions during training, instead of reading a cache.

Both return what the cache would contain, with the same rounding, up to the numerical precision of the
frozen network. In a bfloat16 training, images are encoded in bfloat16 too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nanogen.backbones.embeddings import Condition
from nanogen.caches.half_precision import finite_half
from nanogen.config.cache_stage import CacheStage
from nanogen.config.schema import Conditioner
from nanogen.data.images import ImageFile
from nanogen.data.rows import WindowedRows
from nanogen.errors import UserError
from nanogen.models.card import expect_model
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.base import Tokenizer
from nanogen.transfer import sent


class Encoder:
    """A frozen tokenizer that encodes batches on a device: uint8 (B, H, W, 3) to latents.

    Args:
        tokenizer: the tokenizer, which is moved to the device.
        device: where images are encoded; the latents stay there.
        chunk: how many images are encoded together. A network's output for an image depends in the
            last digits on its batch; a fixed size makes it the same on any number of processes.
        bf16: compute matrix products and convolutions in bfloat16, with channels last in memory, which
            tensor cores need.
    """

    def __init__(self, tokenizer: Tokenizer, device: torch.device, chunk: int, bf16: bool):
        self.tokenizer, self.device, self.chunk = tokenizer.to(device), device, chunk
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        for layer in tokenizer.modules() if bf16 else ():
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)

    def __call__(self, images: np.ndarray) -> Tensor:
        """Return latents, float32 (B, C, h, w), normalised and rounded as in a cache."""
        parts = sent(torch.from_numpy(images), self.device).split(self.chunk)
        with self.autocast:
            encoded = torch.cat([self.tokenizer.encode(part) for part in parts])
        return encoded.half().float()


class Encoded:
    """Latents of images by index, as a cache would contain them.

    Args:
        stage: the `latents` stage of that cache, which expects the images and the tokenizer.
        expected: the hash of the latents that the run is trained on.
        images: the file of images.
        tokenizer: the folder of the tokenizer.
        device, chunk, bf16: as in `Encoder`.

    Raises:
        UserError: an input is missing or is not the one that the stage expects.
    """

    def __init__(
        self,
        stage: CacheStage,
        expected: str,
        images: Path,
        tokenizer: Path,
        device: torch.device,
        chunk: int,
        bf16: bool,
    ):
        _check(stage, expected, "--encode", "latents")
        file = ImageFile(images, stage.expects["data"])
        self.labels, self.images = file.labels, WindowedRows(file.rows())
        expect_model(tokenizer, stage.expects["tokenizer"])
        self.encode = Encoder(load_tokenizer(tokenizer, stage.model), device, chunk, bf16)
        self.shape = self.encode.tokenizer.latent_shape

    def __len__(self) -> int:
        return len(self.labels)

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        self.images.ahead(windows)

    def load(self, rows: np.ndarray) -> Tensor:
        """Return latents on the device, float32 (B, C, H, W), normalised and rounded as in a cache."""
        return self.encode(self.images[rows])


class EncodedText:
    """Conditions from captions, encoded with each batch; the kind of caption is drawn for each sample.

    Args:
        stage: the `text` stage of the cache, which expects the captions and the encoder.
        expected: the hash of the text features that the run is trained on.
        images: the file of images with captions.
        encoder: the folder of the text encoder.
        conditioner: names the kinds of captions and the number of tokens.
        device: the device of the text encoder.

    Raises:
        UserError: an input is missing or is not the one that the stage expects.
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
        """Return features (B, L, width), rounded as in a cache; L is at most ``conditioner.tokens``."""
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
