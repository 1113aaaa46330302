"""`nanogen score-samples`: every metric of a study's sample set, in one process."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen.cli.common import batch_argument, named_folders
from nanogen.files import read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: nanogen score-samples --config geneval.json --samples samples.h5 "
        "--prompts geneval-prompts.json --network detector=models/detector --output metrics"
    )
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        required=True,
        help="configuration of a stage that measures; repeat for each. That of stage 'features' comes "
        "first; it extracts them, and torchrun may start several processes for it",
    )
    parser.add_argument("--samples", type=Path, required=True, help="the sample set (HDF5)")
    parser.add_argument("--prompts", type=Path, help="of text-to-image metrics")
    parser.add_argument("--questions", type=Path, help="of dpg: the questions about the prompts")
    parser.add_argument(
        "--reference", type=Path, help="of metrics that compare features: the real images'"
    )
    parser.add_argument(
        "--features", type=Path, help="of the same: read if it is there and up to date, else written"
    )
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="an extractor or one of detector, color_classifier, scorer, matcher, dpg_model, "
        "genai_model; repeat for each",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="measure only this one; repeat for more (default: all that the stages measure)",
    )
    batch_argument(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of one JSON per metric")


def run(args: argparse.Namespace) -> list[tuple[Mapping[str, Any], Path]]:
    from nanogen.metrics.sample_scores import SampleFiles, score_samples

    contents = [read_json(path) for path in args.config]
    files = SampleFiles(
        samples=args.samples,
        networks=named_folders("--network", args.network),
        prompts=args.prompts,
        questions=args.questions,
        features=args.features,
        reference=args.reference,
    )
    return score_samples(contents, files, args.output, args.metric, args.batch_size)
