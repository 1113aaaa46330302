"""What every part of the configuration is: immutable, and closed to unknown keys.

A key that is added later is declared with ``added``: at the value that it was introduced with it does
not count for a stage's hash, so a new option runs nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.fields import FieldInfo

_UNSET = object()


class Section(BaseModel):
    """A part of the configuration: immutable, and no key beyond those listed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Read = TypeVar("Read", bound=Section)


def added(default: Any, *, introduced: Any = _UNSET, description: str, **constraints: Any) -> Any:
    """A field for a key that is younger than the stages that it belongs to.

    Args:
        default: what the key is where a study does not set it.
        introduced: what it was introduced with, where the default is another by now. Results made
            before the key existed are those of this value, so it never changes.
        constraints: of ``pydantic.Field``.
    """
    value = default if introduced is _UNSET else introduced
    return Field(
        default, description=description, json_schema_extra={"introduced": value}, **constraints
    )


def without_effect(default: Any, *, counts_as: Any, description: str) -> Any:
    """A field for a key that changes how a result is made and not what it is.

    ``counts_as`` is its value in a stage's hash, whatever it is: that of the results that exist.
    """
    return Field(default, description=description, json_schema_extra={"counts_as": counts_as})


def identity(value: Any, section: type[Section]) -> Any:
    """A section's keys (JSON) without those that have the value they were introduced with.

    ``value`` may lack keys of the section, or have others beside them.
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
            inner = _section_of(field.annotation)
            kept[key] = identity(each, inner) if inner else each
    return kept


def completed(value: Any, section: type[Section]) -> Any:
    """A section's keys (JSON) as an older version wrote them, with those that were added since."""
    if not isinstance(value, dict):
        return value
    keys = dict(value)
    for key, field in section.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "introduced" in extra:
            keys.setdefault(key, extra["introduced"])
        elif key in keys and (inner := _section_of(field.annotation)):
            keys[key] = completed(keys[key], inner)
    return keys


def read(section: type[Read], keys: Mapping[str, Any]) -> Read:
    """A section from the JSON of a stage, which may be an older version's.

    A stage leaves out keys that change no result, and gives None for what is found while the study runs
    (a swept guidance scale). They have no value here, not even their default: to read one is an
    AttributeError.
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
    return TypeAdapter(annotation).validate_python(value)


def _as_introduced(field: FieldInfo, value: Any) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and "introduced" in extra and extra["introduced"] == value


def _section_of(annotation: Any) -> type[Section] | None:
    """The section that a field is, may be or lists."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = map(_section_of, get_args(annotation))
    return next((section for section in found if section), None)
