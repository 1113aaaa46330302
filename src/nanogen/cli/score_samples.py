"""`nanogen score-samples`: compute every metric of a study's sample set in one command."""

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
        help="configuration of a stage; repeat for each, stage 'features' first. torchrun may start "
        "several processes, which share the extraction of features",
    )
    parser.add_argument("--samples", type=Path, required=True, help="the sample set (HDF5)")
    parser.add_argument("--prompts", type=Path, help="prompts, for text-to-image metrics")
    parser.add_argument("--questions", type=Path, help="questions about the prompts, for dpg")
    parser.add_argument(
        "--reference", type=Path, help="the real images' features, for ImageNet's metrics"
    )
    parser.add_argument(
        "--features", type=Path, help="the samples' features (HDF5), written unless they are up to date"
    )
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder of a network; NAME is an extractor's, or detector, color_classifier, scorer, "
        "matcher, dpg_model, genai_model or extractor; repeat for each",
    )
    parser.add_argument(
        "--captions",
        action="append",
        default=[],
        metavar="SET=DIR",
        help="moments of the images of a caption set, for its FID; may be repeated",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="measure only this metric; repeat for more (default: all of the stages' metrics)",
    )
    batch_argument(parser)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write one JSON file per metric to"
    )


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
        captions=named_folders("--captions", args.captions),
    )
    return score_samples(contents, files, args.output, args.metric, args.batch_size)
