"""Which models a study trains itself, and which are given: the authors' files or the user's folders."""

from __future__ import annotations

from nanogen.config.study_schema import Study


def released_file(study: Study, method: str, task: str, weights: str = "") -> str | None:
    """Return the path of the authors' checkpoint of a run in their repository.

    None if no checkpoint is listed, or if ``trained`` names a folder instead.
    """
    if study.released is None or method + weights in study.trained.get(task, {}):
        return None
    return study.released.models.get(task, {}).get(method + weights)


def is_own(study: Study, method: str, task: str, weights: str = "") -> bool:
    """Whether the study trains the model of a run itself."""
    given = method + weights in study.trained.get(task, {})
    return not given and released_file(study, method, task, weights) is None
