"""`nanogen fetch-data`: download a data set from the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import at_least


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", required=True, help="a data set: owner/name or owner/name@revision")
    parser.add_argument("--file", help="this file alone; without it, everything that can be imported")
    parser.add_argument(
        "--max-shards",
        type=at_least("--max-shards", 1),
        help="only the first shards or tables of each split; prints the sizes before the download",
    )
    parser.add_argument(
        "--max-images",
        type=at_least("--max-images", 1),
        help="only the first shards of each split, enough for this many images if all are alike",
    )
    parser.add_argument("--output", type=Path, required=True, help="a folder that is made")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.fetching import fetch_data

    fetch_data(args.repo, args.output, args.file, args.max_shards, args.max_images)
