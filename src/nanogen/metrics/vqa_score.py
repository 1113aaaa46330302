"""VQAScore (Lin et al. 2024, arXiv 2404.01291): how probable a model finds it that a text is shown.

GenAI-Bench (Li et al. 2024, arXiv 2406.13743) is its mean over the benchmark's prompts. No network
here: a model (`nanogen.metrics.vqa`) answers, this says what is asked and how answers are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

QUESTION = 'Does this figure show "{text}"? Please answer yes or no.'
ANSWER = "Yes"
Images = Sequence[np.ndarray] | np.ndarray  # uint8 (M, H, W, 3), or read one by one


class Answers(NamedTuple):
    """Of N pairs of image and question: bool (N,), the answer is yes; float64 (N,), P(yes) in [0, 1]."""

    yes: np.ndarray
    probability: np.ndarray


class VQAModel(Protocol):
    """Answers questions about images."""

    protocol: str  # one sentence part: what answers, and what P(yes) is

    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """Images uint8 (M, H, W, 3), perhaps on disk; question i of N is about image rows[i]."""
        ...


def question(text: str) -> str:
    """What a model is asked about a prompt."""
    return QUESTION.format(text=text)


def text_of(asked: str) -> str:
    """The prompt that a question of `question` is about."""
    before, after = QUESTION.split("{text}")
    return asked.removeprefix(before).removesuffix(after)


def answer_probability(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """exp(-mean loss) of an answer's tokens, in [0, 1]: their probabilities' geometric mean.

    Args:
        logits: (N, T, V), at place t the scores of the vocabulary for the answer's token t.
        tokens: int (N, T), or (T,) where all N are asked for the same answer.

    Returns float64 (N,).
    """
    scores = np.asarray(logits, np.float64)
    tokens = np.broadcast_to(tokens, scores.shape[:2])
    top = scores.max(-1, keepdims=True)
    total = top[..., 0] + np.log(np.exp(scores - top).sum(-1))
    chosen = np.take_along_axis(scores, tokens[..., None], -1)[..., 0]
    return np.exp((chosen - total).mean(-1))


def score(
    prompts: Sequence[Mapping[str, Any]],
    of_image: Sequence[int] | np.ndarray,
    probabilities: Sequence[float] | np.ndarray,
) -> dict[str, float]:
    """The metric from P("Yes") of every image for its own prompt, all in [0, 1].

    ``genai_bench`` is the mean over images; ``vqa_score_<tag>`` is the same over those of one tag's
    prompts. Image i belongs to prompts[of_image[i]].
    """
    by_tag = defaultdict(list)
    for index, probability in zip(of_image, probabilities, strict=True):
        by_tag[prompts[int(index)].get("tag", "")].append(float(probability))
    tags = {f"vqa_score_{tag}": float(np.mean(values)) for tag, values in by_tag.items() if tag}
    return {"genai_bench": float(np.mean(np.asarray(probabilities, float))), **tags}
