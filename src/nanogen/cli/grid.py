"""nanogen grid: a picture of sample images, by class or with their prompts."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=Path, required=True, help="a sample set (HDF5)")
    parser.add_argument("--prompts", type=Path, help="text to image: the prompts (JSON)")
    parser.add_argument("--reference", type=Path, help="classes: real images and their class names")
    parser.add_argument("--rows", type=int, default=4, help="rows of images (default: 4)")
    parser.add_argument("--columns", type=int, default=10, help="images in a row (default: 10)")
    parser.add_argument("--title", required=True, help="written above the images")
    parser.add_argument("--output", type=Path, required=True, help="the picture (PNG)")


def run(args: argparse.Namespace) -> None:
    from nanogen.report import pictures

    if args.rows < 1 or args.columns < 1:
        raise UserError(f"--rows {args.rows} --columns {args.columns}: both must be at least 1")
    if args.prompts:
        lines, note = pictures.prompt_lines(args.samples, args.prompts, args.rows, args.columns)
    else:
        lines, note = pictures.class_lines(args.samples, args.reference, args.rows, args.columns)
    pictures.write(pictures.compose(lines, args.title, note), args.output)
    print(args.output)
