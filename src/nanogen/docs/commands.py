"""The page of all `nanogen` commands and their options, generated from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from nanogen.docs.markdown import code, plain, table

Parsers = Mapping[str, Mapping[str, argparse.ArgumentParser]]  # title -> command -> its parser
INTRODUCTION = """# The command line

Generated from the command-line parsers. Every command starts with `nanogen`; `nanogen COMMAND --help`
prints the same in a terminal. The exit code is 0 on success, 2 for a mistake that you can fix, which one
sentence explains, and 130 after an interruption.

What a step of the graph reads and writes is listed in [](../formats.md).
"""


def page(parsers: Parsers) -> str:
    """Return the page in Markdown."""
    parts = [INTRODUCTION]
    for title, commands in parsers.items():
        parts.append(f"## {title}\n")
        parts += [described(name, parser) for name, parser in commands.items()]
    return "\n".join(parts)


def described(name: str, parser: argparse.ArgumentParser) -> str:
    """A command's section: what it does, its options by group, an example."""
    text = parser.description or ""
    parts = [f"(nanogen-{name})=\n### {name}\n\n{text[0].upper()}{text[1:]}.\n"]
    for group in parser._action_groups:
        rows = [
            (option_of(action), "; ".join(meaning(action, parser)))
            for action in group._group_actions
            if not isinstance(action, argparse._HelpAction)
        ]
        if rows and group.title and group.title not in ("positional arguments", "options"):
            parts.append(f"{group.title[0].upper()}{group.title[1:]}:\n")
        if rows:
            parts.append(table(("option", "meaning"), rows))
    if parser.epilog:
        parts.append(f"For example:\n\n```\n{parser.epilog.removeprefix('example: ')}\n```\n")
    return "\n".join(parts)


def option_of(action: argparse.Action) -> str:
    """An option as it is typed, with its value."""
    value = _value(action)
    if not action.option_strings:
        return code(value)
    return ", ".join(code(f"{name} {value}".strip()) for name in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.nargs == argparse.REMAINDER:
        return "..."
    name = action.metavar or ("|".join(map(str, action.choices)) if action.choices else None)
    value = name or (action.dest.upper().replace("_", "-") if action.option_strings else action.dest)
    many = action.nargs in ("*", "+") or isinstance(action.nargs, int)
    return f"{value} ..." if many else str(value)


def meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> Iterator[str]:
    """The option's help, whether it is required and, unless the help mentions it, its default."""
    if action.required and action.nargs != argparse.REMAINDER:
        yield "*required*"
    if action.help:
        yield plain(parser._get_formatter()._expand_help(action))
    elif action.type is Path:
        yield "path of this input"
    silent = action.default in (None, [], argparse.SUPPRESS) or isinstance(action.default, bool)
    if not silent and "default" not in (action.help or ""):
        yield f"default: {code(action.default)}"
    if isinstance(action, argparse._AppendAction) and "repeat" not in (action.help or ""):
        yield "may be repeated"
