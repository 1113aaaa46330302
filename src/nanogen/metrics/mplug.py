"""mPLUG, the VQA model of DPG-Bench, as the package modelscope runs it (envs/dpg.yaml).

Written after the package's documentation; it was never run here, where the package cannot be installed.
The package fetches the weights, and reads them with pickle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nanogen.metrics.vqa_score import Answers, Images


class MPlug:
    """Answers in words; how probable they are, it does not tell."""

    protocol = "the answer in words is yes (mPLUG)"

    def __init__(self, name: str):
        from modelscope.pipelines import pipeline
        from modelscope.utils.constant import Tasks

        self._ask = pipeline(Tasks.visual_question_answering, model=name)

    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """As `nanogen.metrics.vqa.VQAModel`; the probabilities are 1 and 0."""
        from PIL import Image

        words = [
            self._ask({"image": Image.fromarray(np.array(images[row])), "question": question})["text"]
            for row, question in zip(rows, questions, strict=True)
        ]
        yes = np.array([word.strip().lower() == "yes" for word in words], bool)
        return Answers(yes, yes.astype(np.float64))
