"""YAML files in UTF-8. A key that appears twice is refused; YAML readers silently keep the last one."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.text import check_texts

MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Loader that refuses a key that appears twice in a mapping."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[Any, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == MERGE:
            continue
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            continue  # YAML's own error follows
        if key in lines:
            raise UserError(f"key {key!r} appears twice, in lines {lines[key]} and {line}; join them")
        lines[key] = line
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises UserError if the file is not one."""
    text = read_text(path)
    try:
        content = yaml.load(text, _Loader) or {}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values at the top level")
    check_texts(content, path)
    return content
