"""Models that answer questions about images as packages of their own run them, each in its environment.

Written after the packages' documentation; neither was run here, where they cannot be installed. They
fetch the weights themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nanogen.metrics.vqa_score import Answers, text_of

# before the model's name there, of the model_class
MODELSCOPE = "modelscope:"
T2V_METRICS = "t2v-metrics:"


class MPlug:
    """mPLUG, the VQA model of DPG-Bench, by modelscope (envs/dpg.yaml), which reads weights with pickle.

    It answers in words; how probable they are, it does not tell.
    """

    protocol = "the answer in words is yes (mPLUG)"

    def __init__(self, name: str):
        from modelscope.pipelines import pipeline
        from modelscope.utils.constant import Tasks

        self._ask = pipeline(Tasks.visual_question_answering, model=name)

    def answer(self, images: np.ndarray, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """As `nanogen.metrics.vqa.VQAModel`; the probabilities are 1 and 0."""
        from PIL import Image

        words = [
            self._ask({"image": Image.fromarray(np.array(images[row])), "question": question})["text"]
            for row, question in zip(rows, questions, strict=True)
        ]
        yes = np.array([word.strip().lower() == "yes" for word in words], bool)
        return Answers(yes, yes.astype(np.float64))


class ClipFlanT5:
    """CLIP-FlanT5, the model of GenAI-Bench, by t2v-metrics (envs/vqascore.yaml).

    It asks VQAScore's question itself: here it is given the question and takes the text out of it. Its
    P("Yes") is of the answer's tokens and the one that ends it.
    """

    protocol = 'P("Yes") of CLIP-FlanT5'

    def __init__(self, name: str):
        import t2v_metrics

        self._score = t2v_metrics.VQAScore(model=name)

    def answer(self, images: np.ndarray, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """As `nanogen.metrics.vqa.VQAModel`; the questions must be VQAScore's."""
        from PIL import Image

        found = np.zeros(len(rows))
        with tempfile.TemporaryDirectory() as folder:  # the package reads files
            path = str(Path(folder, "image.png"))
            for place, (row, question) in enumerate(zip(rows, questions, strict=True)):
                Image.fromarray(np.array(images[row])).save(path)
                found[place] = float(self._score(images=[path], texts=[text_of(question)])[0, 0])
        return Answers(found > 0.5, found)
