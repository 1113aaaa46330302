"""SimpleEval's scorer, which compares texts with an image that is reduced to a few pixels.

Why it is weak: a generator can be trained against any learned scorer. The more detail a scorer sees, the
more ways there are to raise its score without improving the images: textures, contrasts, the typical
look of its training images. Four properties make such training useless:

- *the keyhole*: the image is averaged down to a few pixels before a network sees it. The
  positions of colours and shapes remain, which a generator changes only by changing the content;
- *the choice*: agreement itself is not the score. It is only compared among texts that differ by a word
  (`nanogen.metrics.simpleeval`). Higher agreement with all of them gains nothing, and a right answer
  cannot become better, so the score saturates;
- *little training*: small networks trained briefly on shifted, recoloured and noisy images have few
  quirks, and these are not worth exploiting, since every seed gives different weights;
- *breadth*: prompts are drawn from a grammar with the study's seed, so there is no list to overfit.

The drawback is that a weak scorer also makes mistakes on perfect images. Its accuracy on real images is
measured when it is trained (``real`` in its card) and is the upper limit of the score. What it cannot
see at all (fine quality, beauty, perspective) is left to other metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.batching import batches
from nanogen.models.network_files import load_weights, read_config

COARSE_MATCHER = "nanogen.CoarseMatcher"
CLIP = "CLIPModel"
CLIP_KEYHOLE = 64  # pixels per side, before they are enlarged to CLIP's input of 224
BATCH = 100


def keyhole(images: np.ndarray, side: int) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, side, side) in [0, 1], averaged over areas."""
    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
    return F.adaptive_avg_pool2d(pixels, side)


class WeakScorer(Protocol):
    """A scorer of the agreement between images and texts."""

    protocol: str  # a phrase that describes the scorer

    def __call__(self, images: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """uint8 (N, H, W, 3) and T texts -> agreement float32 (N, T)."""
        ...


def unit(features: Tensor) -> Tensor:
    return F.normalize(features, dim=-1)


# ------------------------------------------------------------------------------- small study


def _seen(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class CoarseMatcher(nn.Module):
    """Two small encoders that return unit vectors, like CLIP (Radford et al. 2021, arXiv 2103.00020).

    Images (N, 3, side, side) and word numbers (T, L), padded with 0, become unit vectors (N, width) and
    (T, width).
    """

    def __init__(self, words: int, longest: int, side: int, width: int = 96, channels: int = 24):
        super().__init__()
        self.image = nn.Sequential(
            _seen(3, channels, 1),
            _seen(channels, 2 * channels, 2),
            _seen(2 * channels, 2 * channels, 1),
            nn.Flatten(),
            nn.Linear(2 * channels * ((side + 1) // 2) ** 2, width),
        )
        self.word = nn.Embedding(1 + words, width, padding_idx=0)
        self.place = nn.Parameter(torch.randn(longest, width) / width**0.5)
        self.read = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.text = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def images(self, pixels: Tensor) -> Tensor:
        return unit(self.image(2 * pixels - 1))

    def texts(self, words: Tensor) -> Tensor:
        said = (words > 0)[..., None]
        tokens = self.word(words) + self.place[: words.shape[1]]
        read = self.read(tokens, src_key_padding_mask=~said[..., 0])
        return unit(self.text((read * said).sum(1) / said.sum(1)))


class SmallScorer:
    """A `CoarseMatcher` with its vocabulary."""

    def __init__(self, network: CoarseMatcher, words: Sequence[str], longest: int, side: int):
        self.network, self.longest, self.side = network, longest, side
        self._numbers = {word: 1 + index for index, word in enumerate(words)}
        self.protocol = f"a small matcher trained briefly on the study's scenes, at {side}x{side} pixels"

    def numbers(self, texts: Sequence[str]) -> Tensor:
        """Word numbers int64 (T, longest); raises UserError for a word that is not in the vocabulary."""
        found = np.zeros((len(texts), self.longest), np.int64)
        for row, text in zip(found, texts, strict=True):
            words = text.split()
            unknown = [word for word in words if word not in self._numbers]
            if unknown or len(words) > self.longest:
                raise UserError(
                    f"the weak scorer cannot read {text!r}: "
                    + (f"it does not know {unknown[0]!r}" if unknown else "it is too long")
                )
            row[: len(words)] = [self._numbers[word] for word in words]
        return torch.from_numpy(found)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        said = self.network.texts(self.numbers(texts))
        parts = [
            self.network.images(keyhole(images[rows], self.side)) for rows in batches(len(images), BATCH)
        ]
        return (torch.cat(parts) @ said.T).numpy()


# ------------------------------------------------------------------------------- full study


class ClipScorer:
    """CLIP as published, on images reduced to `CLIP_KEYHOLE` pixels per side."""

    protocol = f"CLIP, of images reduced to {CLIP_KEYHOLE}x{CLIP_KEYHOLE} pixels"

    def __init__(self, folder: Path, model: Model):
        from transformers import AutoTokenizer

        from nanogen.models.loading import load_network

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = load_network(folder, model.model_class).to(self._device)
        if not (folder / "tokenizer.json").exists():
            raise UserError(f"{folder} holds no tokenizer: there is no tokenizer.json")
        self.tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        self._mean, self._std = (
            torch.tensor(moment).view(1, 3, 1, 1) for moment in (model.image_mean, model.image_std)
        )
        self._size = int(self.network.config.vision_config.image_size)

    def _images(self, images: np.ndarray) -> Tensor:
        seen = keyhole(images, min(CLIP_KEYHOLE, images.shape[1]))
        pixels = F.interpolate(seen, (self._size, self._size), mode="bicubic", antialias=True)
        fed = ((pixels - self._mean) / self._std).to(self._device)
        return unit(self.network.get_image_features(pixel_values=fed).pooler_output)

    def _texts(self, texts: Sequence[str]) -> Tensor:
        fed = self.tokenizer(list(texts), padding=True, return_tensors="pt").to(self._device)
        features = self.network.get_text_features(
            input_ids=fed["input_ids"], attention_mask=fed["attention_mask"]
        )
        return unit(features.pooler_output)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        said = torch.cat([self._texts(texts[rows]) for rows in batches(len(texts), BATCH)])
        seen = torch.cat([self._images(images[rows]) for rows in batches(len(images), BATCH)])
        return (seen @ said.T).float().cpu().numpy()


# ----------------------------------------------------------------------------------- folders


def build_small(config: Mapping[str, Any]) -> SmallScorer:
    """Build the scorer that a folder's config.json describes, with random weights."""
    words, longest, side = (config[key] for key in ("words", "longest", "side"))
    network = CoarseMatcher(len(words), longest, side, **config["arguments"])
    return SmallScorer(network, words, longest, side)


def load_weak_scorer(folder: Path | str, model: Model) -> WeakScorer:
    """Load the scorer in ``folder``, of the class in the resolved configuration ``model``.

    Raises UserError for a missing or damaged folder and for another class.
    """
    folder = Path(folder)
    if model.model_class == CLIP:
        return ClipScorer(folder, model)
    if model.model_class != COARSE_MATCHER:
        raise UserError(
            f"config/models/{model.name}.yaml: {model.model_class} is not a weak scorer; known are "
            f"{COARSE_MATCHER} and {CLIP}"
        )
    scorer = build_small(read_config(folder, COARSE_MATCHER))
    load_weights(scorer.network, folder)
    return scorer
