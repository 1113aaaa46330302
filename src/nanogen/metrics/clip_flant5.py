"""CLIP-FlanT5, the model of GenAI-Bench, as the package t2v-metrics runs it (envs/vqascore.yaml).

Written after the package's documentation; it was never run here, where the package cannot be installed.
The package fetches the weights. Its P("Yes") is of the answer's tokens and the one that ends it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nanogen.files import scratch_folder
from nanogen.metrics.vqa_score import Answers, Images, text_of

PREFIX = "t2v-metrics:"  # of the model_class, before the model's name there


class ClipFlanT5:
    """Asks VQAScore's question itself: here it is given the question and takes the text out of it."""

    protocol = 'P("Yes") of CLIP-FlanT5'

    def __init__(self, name: str):
        import t2v_metrics

        self._score = t2v_metrics.VQAScore(model=name)

    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """As `nanogen.metrics.vqa.VQAModel`; the questions must be VQAScore's."""
        from PIL import Image

        found = np.zeros(len(rows))
        with scratch_folder() as folder:  # the package reads files
            path = str(folder / "image.png")
            for place, (row, question) in enumerate(zip(rows, questions, strict=True)):
                Image.fromarray(np.array(images[row])).save(path)
                found[place] = float(self._score(images=[path], texts=[text_of(question)])[0, 0])
        return Answers(found > 0.5, found)
