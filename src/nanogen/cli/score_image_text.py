"""`nanogen score-image-text`: metrics of images and their prompts that need no network."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", "prompts", output="folder of one JSON per metric")


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.scores import score_image_text

    stage = read_stage(args.config, "image_text")
    score_image_text(stage, args.samples, args.prompts, args.output)
