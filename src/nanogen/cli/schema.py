"""`nanogen schema`: write or compare the JSON schemas of configuration files and entries."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import write_text


def arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--output", type=Path, metavar="DIR", help="folder to write them to")
    action.add_argument("--check", type=Path, metavar="DIR", help="folder whose files to compare")


def run(args: argparse.Namespace) -> None:
    if args.check:
        _compare(args.check)
        return
    for name, text in schema_files().items():
        write_text(args.output / name, text)
        print(args.output / name)


def schema_files() -> dict[str, str]:
    """Return file name -> text of every schema."""
    from nanogen.config.json_schemas import entry_schema, json_schemas
    from nanogen.leaderboard.entry import Entry

    schemas = {**json_schemas(), "entry": entry_schema(Entry)}
    return {
        f"{kind}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for kind, schema in schemas.items()
    }


def _compare(folder: Path) -> None:
    """Raise UserError naming the files in ``folder`` that are missing or differ."""
    drifted = [
        name
        for name, text in schema_files().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    if drifted:
        raise UserError(
            f"{folder}: {', '.join(drifted)} no longer match nanogen.config.schema; "
            f"run nanogen schema --output {folder}"
        )
