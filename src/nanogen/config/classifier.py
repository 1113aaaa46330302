"""The network that measures class accuracy must be one that no model of the study learned from."""

from __future__ import annotations

from collections.abc import Collection

from nanogen.config.schema import Run
from nanogen.errors import UserError

HINT = "set evaluation.classifier to another extractor, or to null to leave the class accuracy out"


def check(run: Run, trained_with: Collection[str], where: str) -> None:
    """Raise UserError if the run's classifier is not one of its extractors, or is not independent.

    Args:
        trained_with: every frozen network that the run, or its tokenizer, is trained with.
    """
    name, known = run.evaluation.classifier, run.evaluation.extractors
    if name is None:
        return
    if name not in known:
        raise UserError(
            f"{where}: evaluation.classifier {name} is not among evaluation.extractors "
            f"({', '.join(known)}); add it to them, or {HINT}"
        )
    if name in trained_with:
        raise UserError(
            f"{where}: evaluation.classifier {name} is a network that this method is trained with, so "
            f"it cannot judge the result independently; {HINT}"
        )
