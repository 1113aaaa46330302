"""`nanogen export-rae`: write an RAE as a decoder and statistics in the released format."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of an RAE")
    parser.add_argument("--decoder", type=Path, required=True, help="weights to write, a torch file")
    parser.add_argument(
        "--statistics", type=Path, required=True, help="statistics to write, a torch file"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.interop import export_rae

    export_rae(args.model, args.decoder, args.statistics)
    print(args.decoder)
    print(args.statistics)
