"""DPG-Bench's questions about prompts, derived from GenEval's metadata or read from the benchmark's CSV.

The first questions about a prompt are whether each object is present; those about its colour, number and
position depend on them. For an image that shows the prompt, the correct answer to all is yes. A
question's ``item`` is the index of its prompt among GenEval's, from 0, or the ``item_id`` of one of
DPG-Bench's own prompts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nanogen.data.scenes.captions import COUNTS
from nanogen.data.wordnet import spoken
from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json, write_json
from nanogen.prompts.files import GENEVAL, Prompt, of_benchmark
from nanogen.prompts.question_graphs import Graph, Question, graph_of, read_table
from nanogen.prompts.stage import QuestionsStage

log = logging.getLogger(__name__)
FORMAT = ("questions", 1)
FROM_PROMPTS = "prompts"


def exists(name: str) -> str:
    """Return a question such as ``Is there a circle?``."""
    return f"Is there a {name}?"


def colored(name: str, color: str) -> str:
    """Return a question such as ``Is the circle red?``."""
    return f"Is the {name} {color}?"


def counted(name: str, count: int) -> str:
    """Return a question such as ``Are there two circles?``; the plural ends with s or es."""
    plural = f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"
    return f"Are there {COUNTS.get(count, count)} {plural}?"


def placed(name: str, relation: str, other: str) -> str:
    """Return a question such as ``Is the circle left of the square?``."""
    return f"Is the {name} {relation} the {other}?"


def of_prompt(item: str, prompt: Mapping[str, Any]) -> list[Question]:
    """Derive the questions about a prompt from its metadata, numbered from 1, parents first."""
    include = prompt["include"]
    names = [spoken(wanted["class"]) for wanted in include]
    found = [
        Question(item, number, (), f"entity - whole ({name})", exists(name))
        for number, name in enumerate(names, start=1)
    ]
    for number, (name, wanted) in enumerate(zip(names, include, strict=True), start=1):
        asked: list[tuple[tuple[int, ...], str, str]] = []
        if "color" in wanted:
            about = f"attribute - color ({name}, {wanted['color']})"
            asked.append(((number,), about, colored(name, wanted["color"])))
        if wanted["count"] > 1:
            about = f"other - count ({name}, =={wanted['count']})"
            asked.append(((number,), about, counted(name, wanted["count"])))
        if "position" in wanted:
            relation, group = wanted["position"]
            about = f"relation - spatial ({name}, {names[group]}, {relation})"
            asked.append(((number, group + 1), about, placed(name, relation, names[group])))
        found += [Question(item, len(found) + 1 + i, *more) for i, more in enumerate(asked)]
    return found


def item_of(place: int, prompt: Mapping[str, Any]) -> str:
    """Return the ``item`` of questions about the prompt with index ``place``."""
    return str(prompt.get("item_id", place))


def _read_prompts(path: Path, hash_: str) -> list[Prompt]:
    content = read_json(path)
    check_label(content, path, "prompts", 1, hash_)
    return content["prompts"]


def write_questions(content: Mapping[str, Any], prompts_file: Path, output: Path) -> None:
    """Write the question file of a ``questions`` stage, given its JSON.

    Questions are derived from the metadata of GenEval's prompts, or read from DPG-Bench's CSV for its
    own prompts. Raises UserError if the prompts are missing or were made with another configuration, if
    the CSV is invalid, or if prompts and questions do not belong together.
    """
    stage = QuestionsStage.from_json(content)
    every = _read_prompts(prompts_file, stage.expects["prompts"])
    made = stage.questions.name == FROM_PROMPTS
    prompts = [every[place] for place in of_benchmark(every, GENEVAL if made else "dpg")]
    if made:
        graph: Graph = {
            item_of(place, prompt): of_prompt(item_of(place, prompt), prompt)
            for place, prompt in enumerate(prompts)
        }
    else:
        # a downloaded CSV is next to the prompts, which were read from it
        graph = read_table(stage.questions.path(prompts_file.parent), stage.skip_first_row)
        if "rows" in read_json(prompts_file):  # only the prompts in the rows are used
            items = {prompt["item_id"] for prompt in prompts}
            graph = {item: asked for item, asked in graph.items() if item in items}
    check_complete(graph, prompts, str(stage.questions.name))
    questions = [asdict(question) for asked in graph.values() for question in asked]
    write_json(output, label(*FORMAT, stage.hash, questions=questions))
    log.info("%s: %d questions of %d prompts", output, len(questions), len(graph))


def read_questions(path: Path, hash_: str) -> Graph:
    """Read a question file; raises UserError if it is missing, damaged or of another hash."""
    content = read_json(path)
    check_label(content, path, *FORMAT, hash_)
    try:
        questions = [Question(**{**q, "parents": tuple(q["parents"])}) for q in content["questions"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and make it again") from error
    return graph_of(questions, str(path))


def check_complete(graph: Graph, prompts: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raise UserError unless every prompt has questions and every question a prompt."""
    items = {item_of(place, prompt): prompt["prompt"] for place, prompt in enumerate(prompts)}
    unasked = [item for item in items if not graph.get(item)]
    unknown = [item for item in graph if item not in items]
    if unasked:
        raise UserError(
            f"questions ({where}): {len(unasked)} of {len(prompts)} prompts have none, the first is "
            f"item {unasked[0]}, {items[unasked[0]]!r}; give it one or, if it is the first of "
            "DPG-Bench's CSV, set evaluation.questions_skip_first to false"
        )
    if unknown:
        raise UserError(
            f"questions ({where}): {len(unknown)} items are not prompts, such as {unknown[0]}; leave "
            "their questions out, or give the prompts they belong to"
        )
