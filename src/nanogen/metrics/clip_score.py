"""CLIPScore (Hessel et al. 2021, arXiv 2104.08718): how well an image agrees with its own prompt.

The score is 100 max(cos, 0) of CLIP's features of image and text, as in torchmetrics; the paper uses
2.5 max(cos, 0). Texts are truncated to the network's maximum length.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.config.score_stages import ClipScoreStage
from nanogen.errors import UserError
from nanogen.metrics.benchmark_samples import BenchmarkSamples
from nanogen.metrics.metric_files import write_metric
from nanogen.models.batching import batches
from nanogen.models.card import expect_model
from nanogen.models.loading import load_network, load_processor
from nanogen.prompts.files import GENEVAL

CLASS = "CLIPModel"
BATCH = 64  # affects only the rounding of sums


class Agreement:
    """Score pairs of image and text with CLIP."""

    def __init__(self, folder: Path, model: Model):
        from transformers import CLIPImageProcessor, CLIPTokenizer

        if model.model_class != CLASS:
            raise UserError(
                f"evaluation.clipscore: {model.name} is a {model.model_class}, not a {CLASS}"
            )
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = load_network(folder, CLASS).to(self._device)
        self._tokenizer = load_processor(CLIPTokenizer, folder)
        self._processor = load_processor(CLIPImageProcessor, folder)
        self._longest = self._network.config.text_config.max_position_embeddings

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, texts: list[str]) -> np.ndarray:
        """uint8 (N, H, W, 3) and N texts -> float64 (N,) in [0, 100]."""
        found = np.zeros(len(images))
        for part in batches(len(images), BATCH):
            cosines = (self._images(images[part]) * self._texts(texts[part])).sum(-1)
            found[part] = 100 * cosines.double().clamp(min=0).cpu().numpy()
        return found

    def _images(self, images: np.ndarray) -> Tensor:
        fed = self._processor(list(images), input_data_format="channels_last", return_tensors="pt")
        output = self._network.get_image_features(fed["pixel_values"].to(self._device))
        return F.normalize(output.pooler_output.float(), dim=-1)

    def _texts(self, texts: list[str]) -> Tensor:
        fed = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._device)
        return F.normalize(self._network.get_text_features(**fed).pooler_output.float(), dim=-1)


def score_clip(
    content: Mapping[str, Any], samples: Path, prompts_file: Path, folder: Path, output: Path
) -> None:
    """Measure the mean CLIPScore over the images of GenEval's prompts.

    ``content`` is the JSON of a ``clip_score`` stage. Raises UserError if an input is missing, damaged
    or made with another configuration.
    """
    stage = ClipScoreStage.from_json(content)
    judged = BenchmarkSamples(stage.expects, samples, prompts_file, GENEVAL)
    expect_model(folder, stage.expects["matcher"])
    texts = [judged.prompts[place]["prompt"] for place in judged.of_image]
    scores = Agreement(folder, stage.matcher)(judged.images, texts)
    protocol = (
        f"{len(scores)} images of {len(judged.prompts)} prompts, 100 max(cos, 0) by {stage.matcher.name}"
    )
    write_metric(
        output, stage, "clip_score", judged.about, ({"clip_score": float(scores.mean())}, protocol)
    )
