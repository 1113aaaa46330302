"""CLIP-FlanT5, GenAI-Bench's model, run by the package t2v-metrics (envs/vqascore.yaml).

This follows the package's documentation but was never run, because the package could not be installed.
The package downloads the weights. Its P("Yes") includes the token that ends the answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nanogen.metrics.vqa_score import Answers, Images, text_of


class ClipFlanT5:
    """The package adds VQAScore's question itself, so the text is extracted from the question again."""

    protocol = 'P("Yes") of CLIP-FlanT5'

    def __init__(self, name: str):
        import t2v_metrics

        self._score = t2v_metrics.VQAScore(model=name)

    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """Like `nanogen.metrics.vqa_score.VQAModel`, for VQAScore's questions only."""
        from PIL import Image

        found = np.zeros(len(rows))
        with tempfile.TemporaryDirectory() as folder:  # the package reads files
            path = str(Path(folder, "image.png"))
            for place, (row, question) in enumerate(zip(rows, questions, strict=True)):
                Image.fromarray(np.array(images[row])).save(path)
                found[place] = float(self._score(images=[path], texts=[text_of(question)])[0, 0])
        return Answers(found > 0.5, found)
