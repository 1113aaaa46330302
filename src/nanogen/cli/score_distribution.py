"""`nanogen score-distribution`: FID, sFID, IS, FDr, MIND and other scores of images from features."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(
        parser, "features", "reference", output="folder of one JSON per metric: fid.json and so on"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.scores import score_distribution

    stage = read_stage(args.config, "distribution")
    score_distribution(stage, args.features, args.reference, args.output)
