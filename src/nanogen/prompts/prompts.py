"""Prompts of the text-to-image evaluation in GenEval's format: GenEval's first, then other benchmarks'.

Each is ``{prompt, tag, include: [{class, count, color?, position?: [relation, index]}], exclude?}``,
where ``position`` relates an object to an earlier entry of ``include``.
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
from nanogen.prompts.caption_sets import all_prompts
from nanogen.prompts.files import GENEVAL, Prompt, read_prompts, read_texts
from nanogen.prompts.rows import Rows, drawn, read_rows
from nanogen.prompts.stage import PromptsStage

log = logging.getLogger(__name__)
MOST_PER_TAG = 16
ROWS = "rows"  # folder next to the prompts, with a subfolder for each benchmark
# images per prompt, as in GenAI-Bench's own script (genai_bench/generate.py of t2v_metrics)
GENAI_IMAGES = 1


def _prompt(tag: str, prompt: str, *include: Prompt, **more: Any) -> Prompt:
    return {"prompt": prompt, "tag": tag, "include": list(include), **more}


def _object(name: str, count: int = 1, **more: Any) -> Prompt:
    return {"class": name, "count": count, **more}


def _single_object() -> list[Prompt]:
    return [
        _prompt(
            "single_object",
            captions.one(shape, size=size),
            _object(shape, size=size) if size else _object(shape),  # not judged by GenEval
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
    """As in GenEval, the object that the position refers to (anchor) comes first in ``include``."""
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
    """Draw up to 16 prompts per tag from the scenes' vocabulary, worded like short captions."""
    chosen: list[Prompt] = []
    for tag, every in TAGS.items():
        candidates = every()
        order = np.random.default_rng(seed_for(seed, "prompts", tag)).permutation(len(candidates))
        chosen += [candidates[i] for i in sorted(order[:MOST_PER_TAG])]
    return chosen


def class_prompts(classes: Sequence[str], template: str) -> list[Prompt]:
    """Return one prompt per class of photographs, worded with the name of the class's folder."""
    from nanogen.data.source import caption

    return [_prompt("single_object", caption(name, template), _object(name)) for name in classes]


# ------------------------------------------------------------------------------------ stage


def geneval_prompts(stage: PromptsStage, folder: Path) -> list[Prompt]:
    """Return GenEval's prompts, or a study's own in the same format.

    Raises UserError if there is no such list or the file is invalid.
    """
    which = stage.geneval.name
    if stage.geneval.address or (which and which.endswith((".json", ".jsonl"))):
        return read_prompts(stage.geneval.path(folder))
    if which == "scenes":
        return scene_prompts(stage.seed)
    if which == "classes":
        from nanogen.data.photographs import class_names

        if not stage.root or not stage.caption_template:
            raise UserError(
                "evaluation.prompts is 'classes', but data.root is not set; set it to the folder of the "
                "photographs"
            )
        return class_prompts(stage.classes or class_names(stage.root), stage.caption_template)
    raise UserError(
        f"evaluation.prompts is {which!r}; valid are 'scenes', 'classes', the name of a file in "
        "config/prompts or the path of a GenEval file ending in .json or .jsonl"
    )


def _simpleeval(stage: PromptsStage, geneval: Sequence[Prompt]) -> list[Prompt]:
    """Return SimpleEval's prompts; empty if it is not measured."""
    if stage.simpleeval is None:
        return []
    from nanogen.prompts.simpleeval import simple_prompts

    return simple_prompts(stage.seed, stage.simpleeval.vocabulary, stage.simpleeval.prompts, geneval)


def dpg_prompts(stage: PromptsStage, folder: Path) -> list[Prompt]:
    """Return DPG-Bench's own prompts; empty if they are not used.

    They have no metadata, only questions, which refer to them by ``item_id``.
    """
    if stage.dpg is None:
        return []
    texts = question_graphs.read_prompts(stage.dpg.path(folder))
    return [{"prompt": text, "benchmark": "dpg", "item_id": item} for item, text in texts.items()]


def genai_prompts(stage: PromptsStage, folder: Path) -> list[Prompt]:
    """Return GenAI-Bench's own prompts, if the configuration names a list of them."""
    if stage.genai is None:
        return []
    found = read_texts(stage.genai.path(folder))
    return [{**prompt, "benchmark": "genai", "images": GENAI_IMAGES} for prompt in found]


def _rows_of(stage: PromptsStage, folder: Path) -> dict[str, Rows]:
    return {benchmark: read_rows(folder / ROWS / benchmark) for benchmark in stage.rows}


def _genai_of(rows: Rows) -> list[Prompt]:
    """Return GenAI-Bench's prompts as the rows contain them."""
    tags = ({"tag": rows.tags[text]} if text in rows.tags else {} for text in rows.images)
    return [
        {"prompt": text, **tag, "benchmark": "genai", "images": count}
        for (text, count), tag in zip(rows.images.items(), tags, strict=True)
    ]


def prompts_of(content: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """Return the prompts of a ``prompts`` stage.

    GenEval's come first, then those of SimpleEval, DPG-Bench, GenAI-Bench and caption sets, if the stage
    has them.

    Args:
        content: the JSON of the stage.
        folder: folder with downloaded files, and with the rows that list the evaluated prompts
            (`nanogen.interop.prompt_rows`).

    Raises:
        UserError: a file is missing or invalid.
    """
    stage = PromptsStage.from_json(content)
    rows = _rows_of(stage, folder)

    def as_drawn(benchmark: str, prompts: list[Prompt]) -> list[Prompt]:
        return drawn(prompts, rows[benchmark], benchmark) if benchmark in rows else prompts

    geneval = as_drawn("geneval", geneval_prompts(stage, folder))
    simple = _simpleeval(stage, geneval)
    dpg = as_drawn("dpg", dpg_prompts(stage, folder))
    listed = genai_prompts(stage, folder)
    alone = "genai" in rows and not listed
    genai = _genai_of(rows["genai"]) if alone else as_drawn("genai", listed)
    return [*geneval, *simple, *dpg, *genai, *all_prompts(stage.captions, folder)]


def write_prompts(content: Mapping[str, Any], output: Path | str) -> None:
    """Write the prompt file of a ``prompts`` stage, with the origin of its rows.

    ``content`` is the JSON of the stage.
    """
    folder = Path(output).parent
    prompts = prompts_of(content, folder)
    origins = {
        name: rows.origin for name, rows in _rows_of(PromptsStage.from_json(content), folder).items()
    }
    told = {"rows": origins} if origins else {}
    write_json(output, label("prompts", 1, content["hash"], **told, prompts=prompts))
    of = Counter(item.get("benchmark", GENEVAL) for item in prompts)
    parts = ", ".join(f"{count} of {name}" for name, count in of.items())
    log.info("%s: %d prompts (%s)", output, len(prompts), parts)
