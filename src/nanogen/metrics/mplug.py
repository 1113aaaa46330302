"""mPLUG, the VQA model of DPG-Bench, used as in the benchmark's own evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.metrics.judge_images import pixels_of
from nanogen.metrics.vqa_score import Answers, Images, answer_probability
from nanogen.models.batching import batches
from nanogen.models.beam_search import beam_search
from nanogen.models.mplug import CLASS, MPlug
from nanogen.models.network_files import read_config
from nanogen.models.sharded import empty, fill

BATCH = 16  # questions at a time; affects only the rounding of sums
VOCABULARY = "vocab.txt"


class MPlugAnswers:
    """mPLUG as a VQA model, which generates its answer.

    The answer counts as yes if it is exactly ``yes``. P(yes) is exp(-mean loss) over the tokens of yes
    and the end token.
    """

    protocol = "the answer in words is yes (mPLUG, beam search)"

    def __init__(self, network: MPlug, tokenizer: Any, model: Model, batch: int = BATCH):
        self.network, self.tokenizer, self.model, self.batch = network, tokenizer, model, batch
        self._device = next(network.parameters()).device
        self._yes = tokenizer.convert_tokens_to_ids("yes")

    @torch.inference_mode()
    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """See `nanogen.metrics.vqa_score.VQAModel`; each image of a batch is encoded once."""
        yes, probability = np.zeros(len(rows), bool), np.zeros(len(rows))
        half = torch.autocast("cuda", torch.float16, enabled=self._device.type == "cuda")
        for part in batches(len(rows), self.batch):
            shown, place = np.unique(rows[part], return_inverse=True)
            pixels = pixels_of([np.array(images[row]) for row in shown], self.model, pad=False)
            with half:
                seen = self.network.encode_images(pixels.to(self._device))
                about = seen[torch.from_numpy(place).to(self._device)]
                yes[part], probability[part] = self._answers(about, questions[part])
        return Answers(yes, probability)

    def _answers(self, seen: Tensor, questions: Sequence[str]) -> tuple[list[bool], np.ndarray]:
        asked = self.tokenizer(
            list(questions),
            padding="longest",
            truncation=True,
            max_length=self.model.required("max_tokens"),
            return_tensors="pt",
        ).to(self._device)
        states, mask = self.network.read(seen, asked["input_ids"], asked["attention_mask"])
        begin, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id

        def next_logits(written: Tensor) -> Tensor:
            each = len(written) // len(states)
            read, seen = states.repeat_interleave(each, 0), mask.repeat_interleave(each, 0)
            return self.network.next_logits(read, seen, written)[:, -1]

        written = beam_search(next_logits, len(states), begin, end, device=self._device)
        marks = {begin, end, self.tokenizer.pad_token_id}
        said = [[token for token in each.tolist() if token not in marks] for each in written]
        given = torch.tensor([[begin, self._yes]], device=self._device).expand(len(states), -1)
        logits = self.network.next_logits(states, mask, given).float().cpu().numpy()
        probability = answer_probability(logits, np.array([self._yes, end]))
        return [words == [self._yes] for words in said], probability


def load(folder: Path, model: Model) -> MPlugAnswers:
    """Load the model from a folder that `nanogen.interop.judges` wrote; raise UserError for others."""
    from transformers import BertTokenizer

    network = empty(lambda: MPlug(**read_config(folder, CLASS)["arguments"]))
    if not (folder / VOCABULARY).exists():
        raise UserError(f"{folder} has no {VOCABULARY}; make or fetch it again")
    tokenizer = BertTokenizer(vocab=str(folder / VOCABULARY), do_lower_case=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return MPlugAnswers(fill(network, folder, torch.float32, device), tokenizer, model)
