"""A stage's JSON as typed values: the types of a dataclass's fields decide how keys are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from nanogen.config.section import Section, read

Value = TypeVar("Value")


def typed(cls: type[Value], content: Mapping[str, Any], /, **given: Any) -> Value:
    """An instance of the dataclass ``cls``, made from the keys of ``content`` with its fields' names.

    Sections are read by `nanogen.config.section.read`, dataclasses by their ``from_json`` or by this
    function, also inside a tuple or a mapping. A field whose key is missing gets its default. ``given``
    are the fields that are not keys, or that are read in another way.

    Raises TypeError if a field is left without a value.
    """
    hints = _hints(cls)  # type: ignore[arg-type]  # mypy knows no hash of a class that a variable names
    read_here = [name for name in hints if name in content and name not in given]
    return cls(**{name: _converted(hints[name], content[name]) for name in read_here}, **given)


@cache  # evaluates the annotations of a class, which are text
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {each.name: hints[each.name] for each in fields(cls)}


def _converted(kind: Any, value: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if value is None:
        return None
    if get_origin(kind) is tuple:
        return tuple(_converted(get_args(kind)[0], each) for each in value)
    if get_origin(kind) is Mapping:
        return {name: _converted(get_args(kind)[1], each) for name, each in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return kind.from_json(value) if hasattr(kind, "from_json") else typed(kind, value)
    return read(kind, value) if isinstance(kind, type) and issubclass(kind, Section) else value
