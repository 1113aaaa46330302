"""YAML files in UTF-8.

A key that appears twice is refused; YAML readers silently keep the last one. Aliases are allowed, but a
few lines of them can stand for billions of values, so size and depth are limited.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.text import check_texts

MERGE = "tag:yaml.org,2002:merge"


MOST_VALUES = 1_000_000
DEEPEST = 100  # levels


class _Loader(yaml.SafeLoader):
    """Loader that refuses keys that appear twice in a mapping, and documents too large or too deep."""

    depth = 0

    def compose_document(self) -> yaml.Node:
        node: yaml.Node = super().compose_document()  # type: ignore[no-untyped-call]
        _measure(node, {})
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        _check_depth(self.depth, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self.depth -= 1
        return node


@dataclass(frozen=True)
class _Extent:
    """Number of values and of levels in a node, with each alias replaced by what it stands for."""

    values: int
    depth: int


def _measure(node: yaml.Node, measured: dict[yaml.Node, _Extent | None]) -> _Extent:
    """The extent of a node. Raises UserError if it contains itself, or is too large or too deep.

    An alias is the node that it stands for, so that each node is measured once.
    """
    line = node.start_mark.line + 1
    if node in measured:
        known = measured[node]
        if known is None:
            raise UserError(f"the value in line {line} contains itself; write it without that alias")
        return known
    measured[node] = None
    parts = [_measure(child, measured) for child in _children(node)]
    extent = _Extent(
        1 + sum(part.values for part in parts), 1 + max((p.depth for p in parts), default=0)
    )
    _check_depth(extent.depth, node.start_mark)
    if extent.values > MOST_VALUES:
        raise UserError(
            f"the value in line {line} has over {MOST_VALUES:,} values, aliases included; shorten it"
        )
    measured[node] = extent
    return extent


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _check_depth(depth: int, mark: yaml.Mark) -> None:
    if depth > DEEPEST:
        raise UserError(f"line {mark.line + 1} is nested more than {DEEPEST} levels deep; flatten it")


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
