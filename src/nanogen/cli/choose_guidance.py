"""`nanogen choose-guidance`: choose the guidance scale whose small sample set has the lowest FID."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the choice (JSON)")
    parser.add_argument(
        "--metric",
        type=Path,
        nargs="+",
        required=True,
        help="FID files (JSON), one per guidance scale",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.guidance_choice import choose

    choose(read_stage(args.config, "guidance"), args.metric, args.output)
