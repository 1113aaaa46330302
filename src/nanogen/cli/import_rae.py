"""`nanogen import-rae`: convert a released decoder and its statistics to a tokenizer's folder."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--decoder", type=Path, required=True, help="weights of the decoder, decoder.pt")
    parser.add_argument(
        "--statistics", type=Path, required=True, help="mean and variance of the features, stats.pt"
    )
    parser.add_argument("--study", default="paper", help="name or YAML file (default: paper)")
    parser.add_argument("--tokenizer", required=True, help="the RAE, a file in config/models")
    parser.add_argument(
        "--encoder",
        type=Path,
        help="folder of its encoder; without it the tokenizer can only decode, which is all that "
        "sampling needs",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the tokenizer to")


def run(args: argparse.Namespace) -> None:
    from nanogen.config import load_model, load_study, stages
    from nanogen.errors import UserError
    from nanogen.interop import import_rae

    study = load_study(args.study)
    model = load_model(study, args.tokenizer)
    if model.kind != "rae":
        raise UserError(f"--tokenizer {args.tokenizer} is of kind {model.kind}; import-rae makes an RAE")
    resolution = stages.task_data(study, "imagenet").resolution
    if args.encoder and model.encoder is None:
        raise UserError(f"config/models/{model.name}.yaml: 'encoder' must name the RAE's encoder")
    encoder = load_model(study, model.encoder) if args.encoder and model.encoder else None
    import_rae(args.decoder, args.statistics, model, resolution, args.out, args.encoder, encoder)
    print(f"{args.out}: {args.tokenizer} for images of {resolution} pixels")
    print(f"in a study: models: {{{args.tokenizer}: {{source: path, path: {args.out}}}}}")
