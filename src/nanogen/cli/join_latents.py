"""`nanogen join-latents`: join the shards of a latent cache, which several jobs encoded."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the cache's index, an HDF5 file of format latents")
    parser.add_argument(
        "shards", type=Path, nargs="+", help="all shards, in the folder of the output or below"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.caches.shards import join_latents

    join_latents(read_stage(args.config, "latents")["hash"], args.shards, args.output)
