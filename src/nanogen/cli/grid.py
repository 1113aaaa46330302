"""nanogen grid: a grid of sample images, by class or with their prompts, of one set or of several."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import headed_files
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    shown = parser.add_mutually_exclusive_group(required=True)
    shown.add_argument("--samples", type=Path, help="a sample set (HDF5)")
    shown.add_argument(
        "--row",
        action="append",
        metavar="HEADING=FILE",
        help="text-to-image: a sample set that is one row of the grid; may be repeated",
    )
    parser.add_argument("--prompts", type=Path, help="text-to-image: prompts (JSON)")
    parser.add_argument("--reference", type=Path, help="class-conditional: real images with class names")
    parser.add_argument("--rows", type=int, default=4, help="number of rows (default: 4)")
    parser.add_argument("--columns", type=int, default=10, help="images per row (default: 10)")
    parser.add_argument("--title", required=True, help="title above the images")
    parser.add_argument("--output", type=Path, required=True, help="grid to write (PNG)")


def _prompts(args: argparse.Namespace) -> Path:
    if args.prompts is None:
        raise UserError("--row shows images of prompts: give --prompts FILE")
    return args.prompts


def run(args: argparse.Namespace) -> None:
    from nanogen.report import sample_grids

    if args.rows < 1 or args.columns < 1:
        raise UserError(f"--rows {args.rows} --columns {args.columns}: both must be at least 1")
    if args.row:
        lines, note = sample_grids.same_prompts(headed_files("--row", args.row), _prompts(args))
    elif args.prompts:
        lines, note = sample_grids.prompt_lines(args.samples, args.prompts, args.rows, args.columns)
    else:
        lines, note = sample_grids.class_lines(args.samples, args.reference, args.rows, args.columns)
    sample_grids.write(sample_grids.compose(lines, args.title, note), args.output)
    print(args.output)
