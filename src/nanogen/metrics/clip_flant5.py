"""CLIP-FlanT5, the model of GenAI-Bench: P("Yes") that an image shows a text (arXiv 2404.01291)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.metrics.judge_images import pixels_of
from nanogen.metrics.vqa_score import ANSWER, Answers, Images, answer_probability
from nanogen.models.batching import batches
from nanogen.models.clip_flant5 import CLASS, SKIPPED, ClipFlanT5
from nanogen.models.loading import load_processor
from nanogen.models.network_files import read_config
from nanogen.models.sharded import empty, fill

BATCH = 16  # pairs at a time; affects only the rounding of sums
BEFORE = (  # the text around image and question that the model was trained with
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions. USER: "
)
AFTER = "\n{question} ASSISTANT: "


class ClipFlanT5Answers:
    """CLIP-FlanT5 as a VQA model.

    P("Yes") is exp(-mean loss) over the tokens of the answer and the end token. The answer is yes if its
    first token is more probable than that of "No".
    """

    protocol = 'P("Yes") of CLIP-FlanT5, exp(-mean loss) of its tokens and the end'

    def __init__(self, network: ClipFlanT5, tokenizer: Any, model: Model, batch: int = BATCH):
        self.network, self.tokenizer, self.model, self.batch = network, tokenizer, model, batch
        parameter = next(network.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._before, self._yes, self._no = map(self._tokens, (BEFORE, ANSWER, "No"))

    def _tokens(self, text: str) -> Tensor:
        """Return the tokens of a text, (T,). Each part of a prompt ends with an end token."""
        return torch.tensor(self.tokenizer(text)["input_ids"], device=self._device)

    @torch.inference_mode()
    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """See `nanogen.metrics.vqa_score.VQAModel`."""
        yes, probability = np.zeros(len(rows), bool), np.zeros(len(rows))
        for part in batches(len(rows), self.batch):
            pixels = pixels_of([np.array(images[row]) for row in rows[part]], self.model, pad=True)
            seen = self.network.encode_images(pixels.to(self._device, self._dtype))
            asked = [self._tokens(AFTER.format(question=question)) for question in questions[part]]
            logits = self.network.answer_logits(seen, self._before, asked, self._yes)
            scores = logits.float().cpu().numpy()
            yes[part] = scores[:, 0, int(self._yes[0])] > scores[:, 0, int(self._no[0])]
            probability[part] = answer_probability(scores, self._yes.cpu().numpy())
        return Answers(yes, probability)


def load(folder: Path, model: Model) -> ClipFlanT5Answers:
    """Load the model from a folder that `nanogen.interop.judges` wrote.

    It runs in bfloat16 on a GPU, as in its authors' code, and in float32 on a CPU. Raises UserError if
    the folder contains no such model.
    """
    from transformers import PreTrainedTokenizerFast

    network = empty(lambda: ClipFlanT5(**read_config(folder, CLASS)["arguments"]))
    gpu = torch.cuda.is_available()
    kind, device = (torch.bfloat16, "cuda") if gpu else (torch.float32, "cpu")
    filled = fill(network, folder, kind, device, twice=SKIPPED)
    return ClipFlanT5Answers(filled, load_processor(PreTrainedTokenizerFast, folder), model)
