"""The files of prompts and questions: the user's own, or those that config/prompts names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.load import load_prompt_file
from nanogen.config.yaml_files import available
from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.identity import config_hash
from nanogen.prompts.caption_sets import captions_file, sha256_of

FROM_PROMPTS = "prompts"  # evaluation.questions: made from the metadata of GenEval's prompts


def own_lists(evaluation: Evaluation) -> dict[str, tuple[str, str]]:
    """Return metric -> (key of ``evaluation``, its value) for the benchmarks with prompts of their own.

    The others are measured on GenEval's prompts.
    """
    asked = evaluation.questions if evaluation.questions != FROM_PROMPTS else None
    given = {
        "dpg": (evaluation.dpg, "questions", asked),
        "genai": (evaluation.genai, "genai_prompts", evaluation.genai_prompts),
    }
    return {metric: (key, named) for metric, (model, key, named) in given.items() if model and named}


def rows(evaluation: Evaluation) -> dict[str, str]:
    """Return benchmark -> data set on the hub (``owner/name@revision``) with a row per image to draw.

    It contains GenEval and the benchmarks that are measured, if a data set is given for them. Raises
    UserError if DPG-Bench has prompts of its own but no questions about them.
    """
    measured = {"geneval": True, "dpg": evaluation.dpg, "genai": evaluation.genai}
    given = {name: pinned for name, pinned in evaluation.rows if pinned and measured[name]}
    if "dpg" in given and evaluation.questions == FROM_PROMPTS:
        raise UserError(
            "evaluation.rows.dpg: DPG-Bench's own prompts need its own questions; name its CSV as "
            "evaluation.questions, or set rows.dpg to null"
        )
    return given


def captions(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return what the prompts of each measured set of captions depend on.

    This is the set's source, the number of captions drawn and, for a folder, the hash of its file of
    captions. Raises UserError for a folder without such a file.
    """
    return {
        name: {
            "source": source,
            "prompts": evaluation.captions.prompts,
            "content": sha256_of(file) if (file := captions_file(name, source)) else None,
        }
        for name, source in evaluation.captions.given.items()
    }


def has_own_prompts(evaluation: Evaluation, metric: str) -> bool:
    """Whether a benchmark is measured on prompts of its own, not on GenEval's."""
    return metric in own_lists(evaluation) or metric in rows(evaluation)


def identity(key: str, named: str) -> dict[str, Any]:
    """Return the keys that identify a file in a stage that reads it.

    These are ``content``, the hash of its content, and for a downloaded file ``file``, its address.
    Raises UserError if ``evaluation.<key>`` does not name a file.
    """
    if named in available("prompts"):
        source = load_prompt_file(named).model_dump(mode="json", include={"url", "sha256"})
        return {"content": source["sha256"], "file": source}
    file = Path(named)
    if not file.is_file():
        raise UserError(
            f"evaluation.{key}: file {file} does not exist, and config/prompts has no list of this name"
        )
    try:
        return {"content": config_hash(read_text(file))}
    except UserError as error:
        raise UserError(f"evaluation.{key}: {error}") from error
