"""VQAScore (Lin et al. 2024, arXiv 2404.01291): a model's probability that an image shows a text.

GenAI-Bench (Li et al. 2024, arXiv 2406.13743) is its mean over the benchmark's prompts. This module
contains no network: it words the question and evaluates a model's answers (`nanogen.metrics.vqa`).
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
    """Answers for N pairs of image and question.

    Attributes:
        yes: whether the answer is yes, bool (N,).
        probability: P(yes) in [0, 1], float64 (N,).
    """

    yes: np.ndarray
    probability: np.ndarray


class VQAModel(Protocol):
    """A model that answers questions about images."""

    protocol: str  # a phrase that describes the model and P(yes)

    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        """Answer N questions, of which question i is about image rows[i].

        ``images`` are uint8 (M, H, W, 3), possibly on disk.
        """
        ...


def question(text: str) -> str:
    """Return the question about a prompt."""
    return QUESTION.format(text=text)


def text_of(asked: str) -> str:
    """Return the prompt in a question; the inverse of `question`."""
    before, after = QUESTION.split("{text}")
    return asked.removeprefix(before).removesuffix(after)


def answer_probability(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """exp(-mean loss) of an answer's tokens, in [0, 1]: the geometric mean of their probabilities.

    Args:
        logits: (N, T, V), scores of the vocabulary for each of the answer's T tokens.
        tokens: int (N, T), or (T,) for the same answer to all N questions.

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
    """Compute the metric from P("Yes") of every image for its own prompt, all in [0, 1].

    ``genai_bench`` is the mean over all images, ``vqa_score_<tag>`` the mean over the images of one
    tag's prompts. Image i belongs to prompts[of_image[i]].
    """
    by_tag = defaultdict(list)
    for index, probability in zip(of_image, probabilities, strict=True):
        by_tag[prompts[int(index)].get("tag", "")].append(float(probability))
    tags = {f"vqa_score_{tag}": float(np.mean(values)) for tag, values in by_tag.items() if tag}
    return {"genai_bench": float(np.mean(np.asarray(probabilities, float))), **tags}
