"""The beam search of mPLUG, with the same results as the authors' code."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ALPHA = 0.6  # length penalty ((5 + length) / 6) ** ALPHA (Wu et al. 2016, arXiv 1609.08144)
NEVER = -1e20  # the score of an end token that comes too early


def beam_search(
    next_logits: Callable[[Tensor], Tensor],
    count: int,
    start: int,
    end: int,
    *,
    beams: int = 5,
    longest: int = 10,
    shortest: int = 1,
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """Find the best answer to each of ``count`` questions.

    The search for a question stops when its most probable beam ends. Until then, beams that have ended
    are extended as well. The score of a sequence is its summed log-probability divided by the length
    penalty.

    Args:
        next_logits: tokens (count * beams, T) -> logits of the next token (count * beams, vocabulary).
        count: number of questions.
        start, end: ids of the start and end tokens.
        beams: number of beams per question.
        longest, shortest: maximum and minimum number of generated tokens, ``end`` included.
        device: where the tokens are.

    Returns:
        The token ids of every question's answer, int64 (T,), from ``start`` to ``end``, or up to the
        maximum length.
    """
    sequences = torch.full((count, beams, 1), start, device=device)
    totals = torch.full((count, beams), float("-inf"), device=device)
    totals[:, 0] = 0.0
    best: list[tuple[float, Tensor] | None] = [None] * count
    done = [False] * count
    for step in range(longest):
        scores = next_logits(sequences.flatten(0, 1)).float().log_softmax(-1)
        if step < shortest:
            scores[:, end] = NEVER
        vocabulary = scores.shape[-1]
        penalty = ((6 + step) / 6) ** ALPHA
        ranked = ((scores.view(count, beams, -1) + totals[..., None]).flatten(1) / penalty).topk(beams)
        totals, chosen = ranked.values * penalty, ranked.indices
        before = (chosen // vocabulary)[..., None].expand(-1, -1, sequences.shape[-1])
        sequences = torch.cat([sequences.gather(1, before), (chosen % vocabulary)[..., None]], -1)
        ended = (sequences[..., -1] == end).tolist()
        for one in range(count):
            if done[one]:
                continue
            done[one] = ended[one][0] or step == longest - 1
            for beam in range(beams):
                score = float(ranked.values[one, beam])
                known = best[one]
                if (done[one] or ended[one][beam]) and (known is None or score > known[0]):
                    best[one] = score, sequences[one, beam]
        if all(done):
            break
    return [found[1] for found in best if found is not None]
