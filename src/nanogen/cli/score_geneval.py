"""`nanogen score-geneval`: how many images show what their prompts ask."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", "prompts", "detector", output="the score (JSON)")
    parser.add_argument(
        "--color-classifier", type=Path, help="for a detector that sees no colours: what names them"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.scores import score_geneval

    stage = read_stage(args.config, "geneval")
    inputs = (args.samples, args.prompts, args.detector)
    score_geneval(stage, *inputs, args.output, args.color_classifier)
