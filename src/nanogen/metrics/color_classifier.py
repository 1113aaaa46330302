"""Classify the colour of objects with CLIP (Radford et al. 2021, arXiv 2103.00020), as in GenEval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.metrics.geneval import COLORS
from nanogen.models.loading import LibraryNetwork, load_network, load_processor

CLASS = "CLIPModel"
TEMPLATES = ("a photo of a {c} {name}", "a photo of a {c}-colored {name}", "a photo of a {c} object")
GREY = 0x99  # of each channel, around the object
BATCH = 16


def crop(image: np.ndarray, mask: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Crop ``image`` (H, W, 3) to ``box``; pixels where ``mask`` bool (H, W) is False become grey."""
    x0, y0, x1, y1 = box
    return np.where(mask[..., None], image, np.uint8(GREY))[y0:y1, x0:x1]


class ColorClassifier:
    """CLIP's network, its tokenizer and its image processor."""

    def __init__(self, network: LibraryNetwork, tokenizer: Any, processor: Any):
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._tokenizer, self._processor = tokenizer, processor
        self._texts: dict[str, Tensor] = {}

    @classmethod
    def load(cls, folder: Path | str, model: Model) -> ColorClassifier:
        """Load CLIP from a folder in transformers' format; raises UserError if it is not one."""
        from transformers import CLIPImageProcessor, CLIPTokenizer

        if model.model_class != CLASS:
            raise UserError(
                f"color classifier {model.name}: {model.model_class} cannot be loaded; it must "
                f"be a {CLASS}"
            )
        folder = Path(folder)
        return cls(
            load_network(folder, CLASS),
            load_processor(CLIPTokenizer, folder),
            load_processor(CLIPImageProcessor, folder),
        )

    @torch.inference_mode()
    def __call__(self, crops: Sequence[np.ndarray], names: Sequence[str]) -> list[str]:
        """Return the colour of each object, from crops uint8 (h, w, 3) and the objects' names."""
        found: list[str] = []
        for start in range(0, len(crops), BATCH):
            part = list(crops[start : start + BATCH])
            fed = self._processor(part, input_data_format="channels_last", return_tensors="pt")
            output = self._network.get_image_features(fed["pixel_values"].to(self._device))
            for direction, name in zip(_unit(output.pooler_output), names[start:], strict=False):
                found.append(COLORS[int((self._directions(name) @ direction).argmax())])
        return found

    def _directions(self, name: str) -> Tensor:
        """Return the text embedding of each colour for an object, averaged over templates, (10, d)."""
        if name not in self._texts:
            self._texts[name] = torch.stack([self._direction(color, name) for color in COLORS])
        return self._texts[name]

    def _direction(self, color: str, name: str) -> Tensor:
        texts = [template.format(c=color, name=name) for template in TEMPLATES]
        fed = self._tokenizer(texts, padding=True, return_tensors="pt").to(self._device)
        return _unit(_unit(self._network.get_text_features(**fed).pooler_output).mean(0))


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors.float(), dim=-1)
