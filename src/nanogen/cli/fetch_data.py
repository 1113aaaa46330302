"""`nanogen fetch-data`: download a data set from the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import at_least


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", required=True, help="a data set: owner/name or owner/name@revision")
    parser.add_argument(
        "--file", help="download only this file (default: everything that can be imported)"
    )
    parser.add_argument(
        "--max-shards",
        type=at_least("--max-shards", 1),
        metavar="N",
        help="download only the first N shards or tables of each split; sizes are printed first",
    )
    parser.add_argument(
        "--max-images",
        type=at_least("--max-images", 1),
        metavar="N",
        help="download only as many shards of each split as about N images need",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to download to")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.fetching import fetch_data

    fetch_data(args.repo, args.output, args.file, args.max_shards, args.max_images)
