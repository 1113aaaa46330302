"""mPLUG, DPG-Bench's VQA model, run by the package modelscope (envs/dpg.yaml).

This follows the package's documentation but was never run, because the package could not be installed.
The package downloads the weights and reads them with pickle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nanogen.metrics.vqa_score import Answers, Images


class MPlug:
    """Gives answers in words, without probabilities."""

    protocol = "the answer in words is yes (mPLUG)"

    def __init__(self, name: str):
        from modelscope.pipelines import pipeline
        from modelscope.utils.constant import Tasks

        self._ask = pipeline(Tasks.visual_question_answering, model=name)

    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """Like `nanogen.metrics.vqa_score.VQAModel`, with probabilities of 1 and 0."""
        from PIL import Image

        words = [
            self._ask({"image": Image.fromarray(np.array(images[row])), "question": question})["text"]
            for row, question in zip(rows, questions, strict=True)
        ]
        yes = np.array([word.strip().lower() == "yes" for word in words], bool)
        return Answers(yes, yes.astype(np.float64))
