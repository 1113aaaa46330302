"""Read prompts from files: in GenEval's format with metadata, or only texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.data.scenes.scenes import RELATIONS
from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.text import check_storable, lines_of, parsed

Prompt = dict[str, Any]

# ------------------------------------------------------------------------ GenEval's metadata

GENEVAL = "geneval"
# Keys of a study's own list of prompts: whose prompt it is, and what is drawn and asked for it.
RESERVED = ("benchmark", "images", "item_id")


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
    for name in RESERVED:
        if name in item:
            raise UserError(
                f"{where}: {name!r} is not a key of GenEval's metadata and is reserved for the study's "
                "own list of prompts; remove or rename it"
            )
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
    lines = enumerate(lines_of(read_text(path)), start=1)
    return [parsed(line, f"{path}:{number}: a line") for number, line in lines if line.strip()]


def _json(path: Path) -> Any:
    return parsed(read_text(path), path)


def read_prompts(path: Path | str) -> list[Prompt]:
    """Read prompts from a file in one of GenEval's own formats.

    A ``.jsonl`` file has one prompt's metadata per line, other files a list of them or a map prompt ->
    metadata. Raises UserError if the file is missing or not JSON, or if an entry is incomplete or has a
    reserved key.
    """
    path = Path(path)
    if path.suffix not in (".json", ".jsonl"):
        raise UserError(
            f"{path}: expected prompts with GenEval's metadata (tag, include), in .json or .jsonl"
        )
    content = _json_lines(path) if path.suffix == ".jsonl" else _json(path)
    if isinstance(content, Mapping):
        content = [
            {"prompt": text, **item} if isinstance(item, Mapping) else item
            for text, item in content.items()
        ]
    if not isinstance(content, list) or not content:
        raise UserError(f"{path}: expected a list of prompts, or a map from prompt to metadata")
    return [_checked(item, f"{path}, prompt {number}") for number, item in enumerate(content, 1)]


# ----------------------------------------------------------------------------- texts alone


def _text(entry: Any, name: str | None, where: str) -> Prompt:
    """Check one prompt of a list or, with ``name``, of a map; in GenEval's map the name is the text."""
    if isinstance(entry, str):
        entry = {"prompt": entry}
    if not isinstance(entry, Mapping):
        raise UserError(f"{where}: expected a text or {{prompt: text}}, found {entry!r}")
    text = entry.get("prompt", name if "include" in entry else None)
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: 'prompt' is missing or empty")
    tag = entry.get("tag")
    return {"prompt": text.strip(), **({"tag": tag} if tag and isinstance(tag, str) else {})}


def _text_lines(path: Path) -> list[str]:
    lines = [line for line in lines_of(read_text(path)) if line.strip()]
    for number, line in enumerate(lines, start=1):
        check_storable(line, f"{path}, prompt {number}")
    return lines


def read_texts(path: Path | str) -> list[Prompt]:
    """Read prompts without metadata, in order: ``{prompt, tag?}``.

    A ``.txt`` file has one per line, a ``.jsonl`` file a text or ``{prompt}`` per line, a ``.json`` file
    a list of these or a map: GenAI-Bench's, number -> ``{prompt}``, or GenEval's, prompt -> metadata.
    Raises UserError if the file is missing, empty or of another kind, or if an entry has no text.
    """
    path = Path(path)
    readers = {".txt": _text_lines, ".jsonl": _json_lines, ".json": _json}
    if path.suffix not in readers:
        raise UserError(f"{path}: expected prompts in .txt (one per line), .json or .jsonl")
    content = readers[path.suffix](path)
    if not isinstance(content, list | Mapping) or not content:
        raise UserError(f"{path} holds no prompts; expected one per line, a list or a map of them")
    named = content.items() if isinstance(content, Mapping) else ((None, entry) for entry in content)
    return [_text(entry, name, f"{path}, prompt {n}") for n, (name, entry) in enumerate(named, 1)]


def of_benchmark(prompts: Sequence[Mapping[str, Any]], benchmark: str) -> list[int]:
    """Return the indices of a benchmark's prompts; prompts without a benchmark are GenEval's."""
    return [i for i, prompt in enumerate(prompts) if prompt.get("benchmark", GENEVAL) == benchmark]


def spread(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` indices spread evenly over 0 ... count - 1; all of them if there are fewer."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, wanted)).round()})


def first_images(labels: np.ndarray, prompts: Sequence[Mapping[str, Any]], wanted: int) -> np.ndarray:
    """Return the index of the first image of at most ``wanted`` GenEval prompts, spread evenly.

    Args:
        labels: int (N,), the index of each image's prompt.
    """
    shown, first = np.unique(labels, return_index=True)
    first = first[np.isin(shown, of_benchmark(prompts, GENEVAL))]
    return first[spread(len(first), wanted)]
