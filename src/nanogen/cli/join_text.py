"""`nanogen join-text`: join the shards of text features, which several jobs encoded."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the cache's index, an HDF5 file of format text")
    parser.add_argument(
        "shards", type=Path, nargs="+", help="all shards, in the folder of the output or below"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.caches.shards import join_texts

    join_texts(read_stage(args.config, "text")["hash"], args.shards, args.output)
