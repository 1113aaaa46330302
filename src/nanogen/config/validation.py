"""Merging and validation of layers of keys; errors name the file that holds the mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from nanogen.errors import UserError, nearest

Config = TypeVar("Config", bound=BaseModel)


@dataclass(frozen=True)
class Layer:
    """Keys and where they come from, so that an error can name the file."""

    where: str
    keys: Mapping[str, Any]


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings recursively. Later values win, and lists are replaced."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
                result[key] = merged(result[key], value)
            else:
                result[key] = merged(value) if isinstance(value, Mapping) else value
    return result


def _has(keys: Any, location: Sequence[Any]) -> bool:
    for part in location:
        try:
            keys = keys[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def section_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section in field ``key`` of ``model``, if the field is one."""
    field = model.model_fields.get(key)
    if field is None:
        return None
    candidates = [field.annotation, *get_args(field.annotation)]
    sections = (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return next(sections, None)


def _fields_at(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Valid key names of the section at ``location``."""
    for part in location:
        below = section_of(model, str(part))
        if below is None:
            return []
        model = below
    return list(model.model_fields)


def validate(model: type[Config], layers: Sequence[Layer]) -> Config:
    """Merge and validate layers; raises UserError that names the file, the key and valid values."""
    try:
        return model.model_validate(merged(*(layer.keys for layer in layers)))
    except ValidationError as error:
        lines = []
        for item in error.errors():
            location = item["loc"]
            key = ".".join(map(str, location))
            holders = [layer.where for layer in layers if _has(layer.keys, location)]
            where = holders[-1] if holders else layers[-1].where
            if item["type"] == "extra_forbidden":
                hint = nearest(str(location[-1]), _fields_at(model, location[:-1]))
                lines.append(f"{where}: unknown key {key!r}{hint}")
            elif item["type"] == "missing":
                lines.append(f"{where}: key {key!r} is missing")
            else:
                hint, told = _quoting(item["type"], item["input"]), item["msg"]
                lines.append(
                    f"{where}: {key!r} = {item['input']!r}: {told.removeprefix('Value error, ')}{hint}"
                )
        raise UserError("\n".join(lines)) from error


def _quoting(kind: str, value: Any) -> str:
    """A hint for a text that YAML read as a number or a boolean."""
    if kind != "string_type" or not isinstance(value, bool | int | float):
        return ""
    return f"; put it into quotes, on the command line twice: KEY=\"'{value}'\""


def refuse_unknown(keys: Mapping[str, Any], model: type[BaseModel], where: str, at: str) -> None:
    """Check the key names in a study's section early, while their file is still known."""
    for key, value in keys.items():
        if key not in model.model_fields:
            raise UserError(f"{where}: unknown key '{at}.{key}'{nearest(key, model.model_fields)}")
        below = section_of(model, key)
        if below and isinstance(value, Mapping):
            refuse_unknown(value, below, where, f"{at}.{key}")
