"""Prompts of the text-to-image evaluation, in GenEval's structure; first GenEval's, then others.

Each is ``{prompt, tag, include: [{class, count, color?, position?: [relation, index]}], exclude?}``;
``position`` relates an object to an earlier entry of ``include``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.data.scenes import captions
from nanogen.data.scenes.scenes import COLORS, MOST_OBJECTS, RADII, RELATIONS, SHAPES
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.identity import seed_for
from nanogen.prompts import question_graphs
from nanogen.prompts.files import GENEVAL, read_prompts, read_texts

log = logging.getLogger(__name__)
Prompt = dict[str, Any]
MOST_PER_TAG = 16
GENAI_IMAGES = (
    1  # of a prompt, as GenAI-Bench's own script draws (genai_bench/generate.py of t2v_metrics)
)


def _prompt(tag: str, prompt: str, *include: Prompt, **more: Any) -> Prompt:
    return {"prompt": prompt, "tag": tag, "include": list(include), **more}


def _object(name: str, count: int = 1, **more: Any) -> Prompt:
    return {"class": name, "count": count, **more}


def _single_object() -> list[Prompt]:
    return [
        _prompt(
            "single_object",
            captions.one(shape, size=size),
            _object(shape, size=size) if size else _object(shape),  # for the reader: GenEval judges none
        )
        for size, shape in product((None, *RADII), SHAPES)
    ]


def _two_object() -> list[Prompt]:
    return [
        _prompt(
            "two_object",
            captions.pair(captions.one(first), captions.one(second)),
            *(_object(first), _object(second)),
        )
        for first, second in permutations(SHAPES, 2)
    ]


def _counting() -> list[Prompt]:
    return [
        _prompt(
            "counting",
            captions.several(count, shape),
            _object(shape, count),
            exclude=[_object(shape, count + 1)],
        )
        for count, shape in product(range(2, MOST_OBJECTS + 1), SHAPES)
    ]


def _colors() -> list[Prompt]:
    return [
        _prompt("colors", captions.one(shape, color), _object(shape, color=color))
        for color, shape in product(COLORS, SHAPES)
    ]


def _position() -> list[Prompt]:
    """As in GenEval, the object the other is related to comes first in ``include``."""
    return [
        _prompt(
            "position",
            captions.pair(captions.one(subject), captions.one(anchor), relation),
            *(_object(anchor), _object(subject, position=[relation, 0])),
        )
        for relation, (subject, anchor) in product(RELATIONS, permutations(SHAPES, 2))
    ]


def _color_attr() -> list[Prompt]:
    return [
        _prompt(
            "color_attr",
            captions.pair(captions.one(first, color), captions.one(second, other)),
            *(_object(first, color=color), _object(second, color=other)),
        )
        for (first, second), (color, other) in product(permutations(SHAPES, 2), permutations(COLORS, 2))
    ]


TAGS: dict[str, Callable[[], list[Prompt]]] = {
    "single_object": _single_object,
    "two_object": _two_object,
    "counting": _counting,
    "colors": _colors,
    "position": _position,
    "color_attr": _color_attr,
}


def scene_prompts(seed: int) -> list[Prompt]:
    """Up to 16 distinct prompts per tag over the scenes' vocabulary, worded as short captions are."""
    chosen: list[Prompt] = []
    for tag, every in TAGS.items():
        candidates = every()
        order = np.random.default_rng(seed_for(seed, "prompts", tag)).permutation(len(candidates))
        chosen += [candidates[i] for i in sorted(order[:MOST_PER_TAG])]
    return chosen


def class_prompts(classes: Sequence[str], template: str) -> list[Prompt]:
    """One prompt per class of photographs; the class is named as its folder is."""
    from nanogen.data.source import caption

    return [_prompt("single_object", caption(name, template), _object(name)) for name in classes]


# ------------------------------------------------------------------------------------ stage


def _file(source: Mapping[str, Any], key: str, folder: Path) -> Path:
    """The file that ``evaluation.<key>`` names; where it is fetched, it is kept in ``folder``."""
    if "file" not in source:
        return Path(source[key])
    from nanogen.remote_file import fetch_file

    return fetch_file(source["file"], folder, f"give its path as evaluation.{key}")


def geneval_prompts(stage: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """GenEval's prompts of a stage ``prompts``, or a study's own in their form; what is fetched is
    kept in ``folder``. Raises UserError where there is no such list, or the file is not in order."""
    which, data = stage["prompts"], stage["data"]
    if "file" in stage or (isinstance(which, str) and which.endswith((".json", ".jsonl"))):
        return read_prompts(_file(stage, "prompts", folder))
    if which == "scenes":
        return scene_prompts(stage["seed"])
    if which == "classes":
        from nanogen.data.photographs import class_names

        if not data.get("root"):
            raise UserError("evaluation.prompts is 'classes', but data.root names no folder of them")
        return class_prompts(class_names(data["root"]), data["caption_template"])
    raise UserError(
        f"evaluation.prompts is {which!r}; valid are 'scenes', 'classes', the name of a file in "
        "config/prompts or the path of a GenEval file ending in .json or .jsonl"
    )


def _simpleeval(stage: Mapping[str, Any], geneval: Sequence[Prompt]) -> list[Prompt]:
    """SimpleEval's prompts, where it is measured."""
    if not (simple := stage.get("simpleeval")):
        return []
    from nanogen.prompts.simpleeval import simple_prompts

    return simple_prompts(stage["seed"], simple["vocabulary"], simple["prompts"], geneval)


def questions_file(stage: Mapping[str, Any], folder: Path) -> Path:
    """DPG-Bench's CSV of a stage ``questions``, or of the part ``dpg`` of a stage ``prompts``."""
    return _file(stage, "questions", folder)


def dpg_prompts(stage: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """DPG-Bench's own prompts, where a stage ``prompts`` has them: nothing is known of what they ask for
    but their questions, which are found by ``item_id``. Otherwise as `geneval_prompts`."""
    if not (source := stage.get("dpg")):
        return []
    texts = question_graphs.read_prompts(questions_file(source, folder))
    return [{"prompt": text, "benchmark": "dpg", "item_id": item} for item, text in texts.items()]


def genai_prompts(stage: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """GenAI-Bench's own prompts, where a stage ``prompts`` has them. Otherwise as
    `geneval_prompts`."""
    if not (source := stage.get("genai")):
        return []
    found = read_texts(_file(source, "genai_prompts", folder))
    return [{**prompt, "benchmark": "genai", "images": GENAI_IMAGES} for prompt in found]


def prompts_of(stage: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """The prompts of a ``prompts`` stage: GenEval's, then those of SimpleEval, DPG-Bench and
    GenAI-Bench that are drawn besides; a file that is fetched is kept in ``folder``."""
    geneval = geneval_prompts(stage, folder)
    simple = _simpleeval(stage, geneval)
    return [*geneval, *simple, *dpg_prompts(stage, folder), *genai_prompts(stage, folder)]


def write_prompts(stage: Mapping[str, Any], output: Path | str) -> None:
    """Write the prompt file of a ``prompts`` stage."""
    prompts = prompts_of(stage, Path(output).parent)
    write_json(output, label("prompts", 1, stage["hash"], prompts=prompts))
    of = Counter(item.get("benchmark", GENEVAL) for item in prompts)
    parts = ", ".join(f"{count} of {name}" for name, count in of.items())
    log.info("%s: %d prompts (%s)", output, len(prompts), parts)
