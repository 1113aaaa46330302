"""Check the prose of pages and help texts with proselint and the word list in words.yaml.

Docstrings of src are checked with the entries that set ``docstrings``. Code, equations and link targets
are skipped. `make lint` runs this program; it exits with status 1 if it finds anything.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import yaml
from proselint.checks import __register__
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, CheckResult
from proselint.tools import LintFile

EVERY = 10_000  # more findings than a page has
ROOT = Path(__file__).resolve().parents[1]
WORDS = Path(__file__).with_name("words.yaml")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "profiles/*.md")
MODULES = "src/*.py"  # fnmatch's * also matches folders
# Checks of proselint that do not fit these pages: straight quotes and three dots are what people type,
# "resume" is a verb here, and a heading's last word may begin the text below it.
OFF = ("typography", "annotations", "spelling", "lexical_illusions", "consistency", "restricted")
NOT_PROSE = re.compile(
    r"```.*?```|\$\$.*?\$\$|<!--.*?-->|\{%.*?%\}|^---$.*?^---$|`[^`\n]*(?:\n[^`\n]+)?`|\$[^$\n]+\$"
    r"|\]\([^)]*\)|^\([\w-]+\)=$|https?://\S+",
    re.DOTALL | re.MULTILINE,
)


class Finding(NamedTuple):
    """A wording to change, with its page or command and its line."""

    where: str
    line: int
    message: str


def blanked(text: str) -> str:
    """Replace everything that is not prose with marks of the same length, and keep line breaks."""
    return NOT_PROSE.sub(lambda found: re.sub(r"[^\n]", "·", found[0]), text)


def word_checks(page: str) -> list[Check]:
    """Return the entries of the word list that apply to the page or module, as proselint checks."""
    entries = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return [
        _check(entry["pattern"], entry["write"])
        for entry in entries
        if entry.get("docstrings") or not fnmatch(page, MODULES)
        if not any(fnmatch(page, name) for name in entry.get("except", ()))
    ]


def _check(pattern: str, write: str) -> Check:
    known = re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE)

    def findings(text: str, _: Check) -> Iterator[CheckResult]:
        for found in known.finditer(text):
            said = found[0].lstrip(" \n.:;|-")  # without the end of the previous sentence
            place = (found.end() - len(said), found.end())
            yield CheckResult("nanogen.words", f"'{' '.join(said.split())}': write {write}", place, None)

    # the apostrophe of a plural does not begin a quotation
    return Check(check_type=findings, path="nanogen.words", flags=CheckFlags(allow_quotes=True))


def checked(where: str, text: str, checks: Sequence[Check]) -> list[Finding]:
    """Return the findings of the checks in a text and, except for modules, those of proselint."""
    prose = blanked(text)
    registry = CheckRegistry()
    registry.checks[:] = [*(() if fnmatch(where, MODULES) else __register__), *checks]
    families = {check.path_segments[0] for check in registry.checks}
    enabled = {family: family not in OFF for family in families}
    found = LintFile(source=Path(where), content=prose).lint({"max_errors": EVERY, "checks": enabled})
    return [Finding(where, f.pos[0], f.check_result.message) for f in found]


def pages() -> Iterator[tuple[str, str]]:
    """Yield the path and text of every page."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the path and docstrings of every module; all lines outside of docstrings are empty."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        written = text.splitlines()
        lines = [""] * len(written)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                of = slice(node.body[0].lineno - 1, node.body[0].end_lineno)
                lines[of] = written[of]
        yield where, "\n".join(lines)


def helps() -> Iterator[tuple[str, str]]:
    """Yield the name and help text of every command, one option per line."""
    from nanogen.cli import parsers

    for commands in parsers().values():
        for name, parser in commands.items():
            texts = [parser.description, *(action.help for action in parser._actions)]
            yield f"nanogen {name} --help", "\n".join(filter(None, texts))


def main() -> int:
    found = [
        finding
        for where, text in (*pages(), *docstrings(), *helps())
        for finding in checked(where, text, word_checks(where))
    ]
    for finding in found:
        sys.stdout.write(f"{finding.where}:{finding.line}: {finding.message}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
