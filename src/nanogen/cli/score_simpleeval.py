"""`nanogen score-simpleeval`: how many images agree more with their prompts than with near misses."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", "prompts", "scorer", output="the score (JSON)")


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.scores import score_simpleeval

    stage = read_stage(args.config, "simpleeval")
    score_simpleeval(stage, args.samples, args.prompts, args.scorer, args.output)
