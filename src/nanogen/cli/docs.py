"""`nanogen docs`: the documentation as a site that opens from disk."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/docs"),
        help="folder of the site (default: build/docs)",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.cli import parsers
    from nanogen.config.yaml_files import CONFIG
    from nanogen.docs.build import build

    build(CONFIG.parent, args.output, parsers())
    print(args.output / "index.html")
