"""The page of all configuration keys, generated from the sections that validate the files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from nanogen.config.model_schema import Model, PromptFile
from nanogen.config.schema import PublicRun, Run
from nanogen.config.study_schema import Study
from nanogen.docs.markdown import code, plain, table

# Name, root section and place of each kind of file, and the root's keys that no such file contains.
IDENTITY = ("study", "scale", "seed", "method", "task")
ROOTS: tuple[tuple[str, type[BaseModel], str, tuple[str, ...]], ...] = (
    ("study", Study, "A file in `config/studies/`, or a `--configfile`.", ()),
    (
        "run",
        Run,
        "One method on one task. A method's file has `title`, `family`, `tokenizer` and the keys in "
        "which it differs; a task's file has the task's keys; a study sets sections for all its runs.",
        IDENTITY,
    ),
    (
        "public model",
        PublicRun,
        "A file in `config/methods/` whose `family` is `public`.",
        IDENTITY,
    ),
    (
        "frozen network",
        Model,
        "A file in `config/models/`; its name is the file's own. `recipe` names a file in "
        "`config/recipes/` with keys that it has in common with others.",
        ("name",),
    ),
    ("list of prompts", PromptFile, "A file in `config/prompts/`.", ()),
)
BOUNDS = {
    "exclusiveMinimum": "> {}",
    "minimum": "≥ {}",
    "exclusiveMaximum": "< {}",
    "maximum": "≤ {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {}",
}
SIMPLE = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}
INTRODUCTION = """# Keys of the configuration

Generated from the sections in `nanogen.config` that validate the files, so the list is complete.
*required* means that a file must set the key; the default applies if no file sets it.
[](../configuration.md) describes how the files are merged into a run.
"""
Shown = tuple[str, type[BaseModel], dict[str, Any]]


def page() -> str:
    """Return the page in Markdown."""
    parts = [INTRODUCTION]
    known: dict[type[BaseModel], str] = {}
    for name, root, where, left_out in ROOTS:
        parts.append(f"(keys-{slug(name)})=\n## A {name}\n\n{where}\n")
        for path, section, schema in sections(root):
            if section in known:
                parts.append(f"`{path}`: as [{known[section]}](#keys-{slug(known[section])}).\n")
                continue
            known[section] = path or name
            if path:
                heading = path if root is Run else f"{path}, of a {name}"
                known[section] = heading
                parts.append(f"(keys-{slug(heading)})=\n### {heading}\n\n{sentence(section)}\n")
            parts.append(keys_of(section, schema, () if path else left_out))
    return "\n".join(parts)


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def sentence(section: type[BaseModel]) -> str:
    """The description of a section, from its docstring."""
    return plain(inspect.getdoc(section))


def sections(root: type[BaseModel]) -> Iterator[Shown]:
    """Yield (path, section, JSON schema) of a root and all sections below it, depth first."""
    schema = root.model_json_schema()
    yield from _below("", root, schema, schema.get("$defs", {}))


def _below(
    path: str, section: type[BaseModel], schema: dict[str, Any], definitions: dict[str, Any]
) -> Iterator[Shown]:
    yield path, section, schema
    for name, field in section.model_fields.items():
        for inner in _sections_in(field.annotation):
            place = f"{path}.{name}" if path else name
            yield from _below(place, inner, definitions[inner.__name__], definitions)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections in a key's type: the type itself, or those in a list, a mapping or an option."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections_in(argument)


def keys_of(section: type[BaseModel], schema: dict[str, Any], left_out: tuple[str, ...]) -> str:
    """The table of a section's keys."""
    return table(
        ("key", "type", "default", "meaning"),
        [
            (code(name), kind(schema["properties"][name]), default(field), plain(field.description))
            for name, field in section.model_fields.items()
            if name not in left_out
        ],
    )


def default(field: Any) -> str:
    """The value that applies if no file sets the key."""
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if value in (None, [], {}, ""):
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(list(value) if isinstance(value, tuple) else value)


def kind(schema: dict[str, Any]) -> str:
    """A key's type, with the values or the range that it allows."""
    if "anyOf" in schema:
        return kind(next(option for option in schema["anyOf"] if option.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return ", ".join(map(code, schema.get("enum", [schema.get("const")])))
    if "$ref" in schema or "allOf" in schema:
        return "section"
    counted = {} if "prefixItems" in schema else schema
    bounds = [text.format(f"{counted[key]:g}") for key, text in BOUNDS.items() if key in counted]
    return ", ".join([_without_bounds(schema), *bounds])


def _without_bounds(schema: dict[str, Any]) -> str:
    """A type without its range."""
    if schema.get("type") == "array" and "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} × {kind(schema['prefixItems'][0])}"
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if schema.get("type") == "object":
        return "section" if "properties" in schema else "mapping"
    return SIMPLE.get(schema.get("type", ""), "any")
