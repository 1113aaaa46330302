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

FROM_PROMPTS = "prompts"  # evaluation.questions: made from the metadata of GenEval's prompts


def own_lists(evaluation: Evaluation) -> dict[str, tuple[str, str]]:
    """Metric -> (key of ``evaluation``, its value), for the benchmarks that have prompts of their own;
    the others are measured on GenEval's prompts."""
    asked = evaluation.questions if evaluation.questions != FROM_PROMPTS else None
    given = {
        "dpg": (evaluation.dpg, "questions", asked),
        "genai": (evaluation.genai, "genai_prompts", evaluation.genai_prompts),
    }
    return {metric: (key, named) for metric, (model, key, named) in given.items() if model and named}


def identity(key: str, named: str) -> dict[str, Any]:
    """The keys that identify a file in a stage that reads it: ``content``, the hash of its content, and
    for a downloaded file ``file``, its address. Raises UserError if ``evaluation.<key>`` names no
    file."""
    if named in available("prompts"):
        source = load_prompt_file(named).model_dump(mode="json", exclude={"prompts"})
        return {"content": source["sha256"], "file": source}
    file = Path(named)
    if not file.is_file():
        raise UserError(
            f"evaluation.{key}: there is no file {file}, and none of config/prompts has this name"
        )
    try:
        return {"content": config_hash(read_text(file))}
    except UserError as error:
        raise UserError(f"evaluation.{key}: {error}") from error
