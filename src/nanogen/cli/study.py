"""Options for the source of a report's numbers: a study or the paper."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen.config import Study, load_study, study_from
from nanogen.config.validation import merged
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.text import parsed

PUBLISHED = "published"


def source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --study or --published (one is required), --given and --input."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--study", help="a study's name or file (.yaml, or .json as resolved)")
    source.add_argument("--published", action="store_true", help="the paper's own numbers")
    given_argument(parser)
    parser.add_argument(
        "--input", type=Path, nargs="+", default=[], help="files to read (default: those of the study)"
    )


def given_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--given", default="{}", help="JSON with keys that override those of the study")


def named_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --source (required), --given and --input, for commands that users run by hand."""
    parser.add_argument("--source", required=True, help=f"{PUBLISHED}, or a study's name or file")
    given_argument(parser)
    parser.add_argument(
        "--input", type=Path, nargs="+", default=[], help="files to read (default: those of the study)"
    )


def named_source(args: argparse.Namespace) -> Study | None:
    """Return the study of --source; None for the paper's own numbers."""
    return None if args.source == PUBLISHED else read_study(args.source, args.given)


def parse_keys(text: str, option: str) -> dict[str, Any]:
    """Parse a JSON object from the command line; raises UserError that names the option."""
    keys = parsed(text, f"{option} {text}")
    if not isinstance(keys, Mapping):
        raise UserError(f'{option}: expected a JSON object such as {{"key": 1}}, got {text}')
    return dict(keys)


def read_study(name: str, given: str = "{}") -> Study:
    """Load the study of --study with the keys of --given."""
    keys = parse_keys(given, "--given")
    if Path(name).suffix == ".json":
        return study_from(merged(read_json(name), keys))
    return load_study(name, keys)
