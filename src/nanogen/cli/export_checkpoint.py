"""`nanogen export`: convert a model folder to a checkpoint in the authors' format."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint, a torch file")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.checkpoint import export_checkpoint

    export_checkpoint(args.model, args.output)
    print(args.output)
