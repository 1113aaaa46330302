"""Modules import only from lower layers of docs/architecture.md, and never in a cycle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    return name.removesuffix(".__init__")


FILES = {module_of(path): path for path in sorted((ROOT / "src/nanogen").rglob("*.py"))}


def package_of(module: str) -> str:
    """``metrics`` for nanogen.metrics.frechet, ``files`` for nanogen.files, ``""`` for nanogen."""
    return (*module.split("."), "")[1]


def imports_of(module: str) -> Iterator[tuple[str, int]]:
    """Yield (module, line) of everything in this package that a module imports.

    This includes imports inside functions, imports for types only, and names in strings by which a
    module is imported when it is needed. A string ``module:function`` does not count: it is an entry of
    a list, such as the metrics, and is called by the module that reads the list.
    """
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{FILES[module]}:{node.lineno}: name the whole module"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else str(node.module) for name in inside]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        yield from ((name, node.lineno) for name in names if name in FILES and name != module)


def layers() -> list[list[str]]:
    """Packages of each layer in the page's drawing, lowest layer first."""
    drawing = re.search(r"^## Layers$.*?```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert drawing, f"{PAGE} draws no layers"
    return [line.partition("│")[0].split() for line in reversed(drawing[1].splitlines())]


@cache
def graph() -> dict[str, dict[str, int]]:
    """The lines at which each module imports others, by name."""
    return {module: dict(imports_of(module)) for module in FILES}


def test_the_page_draws_every_package_once():
    drawn = sorted(name for layer in layers() for name in layer)
    assert drawn == sorted({package_of(module) for module in FILES} - {""})


def test_no_package_imports_one_of_its_own_layer_or_above():
    place = {name: number for number, layer in enumerate(layers(), 1) for name in layer} | {"": 0}
    upwards = [
        f"{FILES[module].relative_to(ROOT)}:{line} imports {other}, but {package_of(other)} is "
        f"{'beside' if place[theirs] == place[own] else 'above'} {own} in {PAGE.relative_to(ROOT)}"
        for module, found in graph().items()
        for other, line in found.items()
        if (own := package_of(module)) != (theirs := package_of(other)) and place[theirs] >= place[own]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_loop():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        loop = list(reversed(error.args[1]))
        told = [
            f"{FILES[module].relative_to(ROOT)}:{graph()[module].get(other)} imports {other}"
            for module, other in pairwise(loop)
        ]
        raise AssertionError("modules import each other in a loop:\n" + "\n".join(told)) from None


def test_the_page_sends_to_files_that_are_there():
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("## Where to go for") : text.index("## Boundaries in code")]
    names = {name for name in re.findall(r"`([\w/.-]+/[\w.-]*)`", table) if "NAME" not in name}
    assert len(names) > 15
    absent = [n for n in names if not ((ROOT / n).exists() or (ROOT / "src/nanogen" / n).exists())]
    assert not absent
