"""Prompts of the text-to-image evaluation, in GenEval's structure; first GenEval's, then others.

Each is ``{prompt, tag, include: [{class, count, color?, position?: [relation, index]}], exclude?}``;
``position`` relates an object to an earlier entry of ``include``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.data import captions
from nanogen.data.scenes import COLORS, MOST_OBJECTS, RADII, RELATIONS, SHAPES
from nanogen.errors import UserError
from nanogen.files import explained, label, read_json, write_json
from nanogen.identity import seed_for

log = logging.getLogger(__name__)
Prompt = dict[str, Any]
GENEVAL = "geneval"
MOST_PER_TAG = 16


def _prompt(tag: str, prompt: str, *include: Prompt, **more: Any) -> Prompt:
    return {"prompt": prompt, "tag": tag, "include": list(include), **more}


def _object(name: str, count: int = 1, **more: Any) -> Prompt:
    return {"class": name, "count": count, **more}


def _single_object() -> list[Prompt]:
    return [
        _prompt(
            "single_object",
            captions.one(shape, size=size),
            _object(shape, **({"size": size} if size else {})),  # for the reader: GenEval judges none
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
    from nanogen.data.folder import caption

    return [_prompt("single_object", caption(name, template), _object(name)) for name in classes]


# ----------------------------------------------------------------------------- a user's file


def _check_object(item: Any, position: int, where: str) -> None:
    if not isinstance(item, Mapping) or not isinstance(item.get("class"), str):
        raise UserError(f"{where}: expected an object with a 'class', found {item!r}")
    count = item.get("count")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(f"{where}: 'count' of {item['class']!r} must be a whole number from 1")
    if not isinstance(item.get("color", ""), str):
        raise UserError(f"{where}: 'color' of {item['class']!r} must be a word")
    if "position" not in item:
        return
    match item["position"]:
        case [str(relation), int(other)] if relation in RELATIONS and 0 <= other < position:
            return
    raise UserError(
        f"{where}: 'position' of {item['class']!r} must be [relation, index of an earlier object], "
        f"the relation one of {', '.join(RELATIONS)}; found {item['position']!r}"
    )


def _checked(item: Any, where: str) -> Prompt:
    if not isinstance(item, Mapping):
        raise UserError(f"{where}: expected GenEval's metadata (an object), found {item!r}")
    for name in ("prompt", "tag"):
        if not isinstance(item.get(name), str) or not item[name].strip():
            raise UserError(f"{where}: {name!r} is missing or empty")
    include, exclude = item.get("include"), item.get("exclude", [])
    if not isinstance(include, list) or not include:
        raise UserError(f"{where}: 'include' must list at least one object")
    if not isinstance(exclude, list):
        raise UserError(f"{where}: 'exclude' must be a list")
    for position, entry in enumerate(include):
        _check_object(entry, position, where)
    for entry in exclude:
        _check_object(entry, 0, where)
    return dict(item)


def _json_lines(path: Path) -> list[Any]:
    with explained(path, "read"):
        lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: a line is not valid JSON ({error})") from error


def read_prompts(path: Path | str) -> list[Prompt]:
    """Prompts from a file in one of GenEval's own formats.

    ``.jsonl``: one prompt's metadata per line; else a list of them, or a map prompt -> metadata.
    Raises UserError where the file is missing, no JSON, or an entry lacks something.
    """
    path = Path(path)
    if path.suffix not in (".json", ".jsonl"):
        raise UserError(
            f"{path}: expected prompts with GenEval's metadata (tag, include), in .json or .jsonl"
        )
    content = _json_lines(path) if path.suffix == ".jsonl" else read_json(path)
    if isinstance(content, Mapping):
        content = [
            {"prompt": text, **item} if isinstance(item, Mapping) else item
            for text, item in content.items()
        ]
    if not isinstance(content, list) or not content:
        raise UserError(f"{path}: expected a list of prompts, or a map from prompt to metadata")
    return [_checked(item, f"{path}, prompt {number}") for number, item in enumerate(content, 1)]


def read_texts(path: Path | str) -> list[Prompt]:
    """Prompts of which no more is known than their text: ``.txt`` with one per line, or GenEval's own
    formats. Raises UserError where there is none."""
    path = Path(path)
    if path.suffix != ".txt":
        return read_prompts(path)
    with explained(path, "read"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if not any(lines):
        raise UserError(f"{path} has no prompts; expected one per line")
    return [{"prompt": line} for line in lines if line]


# ------------------------------------------------------------------------------------ stage


def _chosen(stage: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """The stage's prompts; a file that is fetched is kept in ``folder``."""
    which, data = stage["prompts"], stage["data"]
    if "file" in stage:
        from nanogen.interop.address import fetch_file

        return read_prompts(fetch_file(stage["file"], folder, "give its path as evaluation.prompts"))
    if which == "scenes":
        return scene_prompts(stage["seed"])
    if which == "classes":
        from nanogen.data.photographs import class_names

        if not data.get("root"):
            raise UserError("evaluation.prompts is 'classes', but data.root names no folder of them")
        return class_prompts(class_names(data["root"]), data["caption_template"])
    if isinstance(which, str) and which.endswith((".json", ".jsonl")):
        return read_prompts(which)
    raise UserError(
        f"evaluation.prompts is {which!r}; valid are 'scenes', 'classes', the name of a file in "
        "config/prompts or the path of a GenEval file ending in .json or .jsonl"
    )


def _added(stage: Mapping[str, Any], geneval: Sequence[Prompt]) -> list[Prompt]:
    """SimpleEval's prompts, where it is measured."""
    if not (simple := stage.get("simpleeval")):
        return []
    from nanogen.data.simple_prompts import simple_prompts

    return simple_prompts(stage["seed"], simple["vocabulary"], simple["prompts"], geneval)


def of_benchmark(prompts: Sequence[Mapping[str, Any]], benchmark: str) -> list[int]:
    """Where the prompts of one benchmark stand; those that name none are GenEval's."""
    return [i for i, prompt in enumerate(prompts) if prompt.get("benchmark", GENEVAL) == benchmark]


def prompts_of(stage: Mapping[str, Any], folder: Path) -> list[Prompt]:
    """The prompts of a ``prompts`` stage: GenEval's, then those of SimpleEval; a file that is fetched
    is kept in ``folder``."""
    geneval = _chosen(stage, folder)
    return [*geneval, *_added(stage, geneval)]


def write_prompts(stage: Mapping[str, Any], output: Path | str) -> None:
    """Write the prompt file of a ``prompts`` stage."""
    prompts = prompts_of(stage, Path(output).parent)
    write_json(output, label("prompts", 1, stage["hash"], prompts=prompts))
    tags = dict.fromkeys(item["tag"] for item in prompts)
    log.info("%s: %d prompts of %d kinds", output, len(prompts), len(tags))
