"""The base class of every part of the configuration: immutable, and closed to unknown keys.

A key that is added later is declared with ``added``. As long as it has the value that it was introduced
with, it is left out of a stage's hash, so a new option does not make finished stages run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.fields import FieldInfo

_UNSET = object()


class Section(BaseModel):
    """A part of the configuration: immutable, without keys other than those declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Positive = Annotated[int, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]  # of a running average, per step
Read = TypeVar("Read", bound=Section)


def added(default: Any, *, introduced: Any = _UNSET, description: str, **constraints: Any) -> Any:
    """A field for a key that was added after results of its stages existed.

    Args:
        default: the value if a study does not set the key.
        introduced: the value that the key was introduced with, if the default has changed since.
            Results made before the key existed have this value, so it must never change.
        constraints: further arguments of ``pydantic.Field``.
    """
    value = default if introduced is _UNSET else introduced
    return Field(
        default, description=description, json_schema_extra={"introduced": value}, **constraints
    )


def without_effect(default: Any, *, counts_as: Any, description: str, **constraints: Any) -> Any:
    """A field for a key that changes how a result is made, or what is told of it, but not the result.

    A stage's hash contains ``counts_as`` instead of the key's value, so existing results stay valid.
    """
    extra = {"counts_as": counts_as}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def identity(value: Any, section: type[Section]) -> Any:
    """A section's keys (JSON) without those that still have the value they were introduced with.

    ``value`` may lack keys of the section, or contain other keys.
    """
    if isinstance(value, list):
        return [identity(each, section) for each in value]
    if not isinstance(value, dict):
        return value
    fields = section.model_fields
    kept = {}
    for key, each in value.items():
        field = fields.get(key)
        if field is None:
            kept[key] = each
        elif isinstance(extra := field.json_schema_extra, dict) and "counts_as" in extra:
            kept[key] = extra["counts_as"]
        elif not _as_introduced(field, each):
            kept[key] = _in_sections(field.annotation, each, identity)
    return kept


def completed(value: Any, section: type[Section]) -> Any:
    """A section's keys (JSON) that an older version wrote, completed by the keys added since."""
    if not isinstance(value, dict):
        return value
    keys = dict(value)
    for key, field in section.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "introduced" in extra:
            keys.setdefault(key, extra["introduced"])
        elif key in keys:
            keys[key] = _in_sections(field.annotation, keys[key], completed)
    return keys


def read(section: type[Read], keys: Mapping[str, Any]) -> Read:
    """A section from the JSON of a stage, which an older version may have written.

    A stage omits keys that change no result, and has None for values that are known only while the study
    runs (a swept guidance scale). Such keys have no value in the section, not even their default:
    reading one raises AttributeError.
    """
    fields, given = section.model_fields, completed(dict(keys), section)
    values = {
        key: _value(fields[key].annotation, value)
        for key, value in given.items()
        if key in fields and (value is not None or type(None) in get_args(fields[key].annotation))
    }
    found = section.model_construct(set(values), **values)
    for key in vars(found).keys() - values.keys():
        del vars(found)[key]
    return cast(Read, found)


def _value(annotation: Any, value: Any) -> Any:
    section = _section_of(annotation)
    if section and isinstance(value, dict) and get_origin(annotation) is not dict:
        return read(section, value)
    return _adapter(annotation).validate_python(value)


@cache  # creating one takes longer than using it
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _as_introduced(field: FieldInfo, value: Any) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and "introduced" in extra and extra["introduced"] == value


def _in_sections(annotation: Any, value: Any, change: Callable[[Any, type[Section]], Any]) -> Any:
    """Apply ``change`` to the sections in a field's value.

    These are the value itself, or the values of a dictionary of sections.
    """
    section = _section_of(annotation)
    if section is None:
        return value
    if get_origin(annotation) is dict and isinstance(value, dict):
        _, inner = get_args(annotation)
        return {name: _in_sections(inner, each, change) for name, each in value.items()}
    return change(value, section)


@cache  # called for every key of every stage that is hashed
def _section_of(annotation: Any) -> type[Section] | None:
    """The section in a field's type: the type itself, an alternative to None, or the items of a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = map(_section_of, get_args(annotation))
    return next((section for section in found if section), None)
