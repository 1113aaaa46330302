"""`nanogen import`: convert a checkpoint in the authors' format to a model folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import run_arguments, stage_of_run


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        help="torch file with the keys 'ema' and 'model', or a safetensors file",
    )
    run_arguments(parser)
    parser.add_argument(
        "--weights",
        choices=["ema", "model"],
        default="ema",
        help="which weights: the average (ema) or the trained ones (model) (default: ema)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.checkpoint import import_checkpoint

    parameters = import_checkpoint(args.checkpoint, args.weights, stage_of_run(args), args.out)
    print(f"{args.out}: {args.method} on {args.task}, {parameters} parameters")
    print(f"draw images:  nanogen sample --model {args.out} --help")
    print(f"in a study:   trained: {{{args.task}: {{{args.method}: {args.out}}}}}")
