"""`nanogen score-t2i`: compute text-to-image metrics of images from any generator."""

from __future__ import annotations

import argparse
from pathlib import Path

ROLES = ("detector", "color_classifier", "vqa")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: nanogen score-t2i --images drawn --prompts evaluation_metadata.jsonl --metrics geneval"
    )
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="00000/samples/0000.png (prompt, image) or 0-0.png (prompt-image), counted from 0",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        help="prompts in GenEval's format, .json or .jsonl; for genai also .txt, one prompt per line",
    )
    parser.add_argument(
        "--metrics",
        default="geneval",
        help="metrics separated by commas: geneval, dpg, genai (default: geneval)",
    )
    parser.add_argument(
        "--study",
        default="paper",
        help="study whose networks are used, by name or file (default: paper)",
    )
    for role in ROLES:
        parser.add_argument(
            f"--{role.replace('_', '-')}",
            type=Path,
            metavar="FOLDER",
            help="folder of a network to use instead of the study's",
        )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for METRIC.json, and for METRIC.jsonl with a line per image",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.config import load_study
    from nanogen.metrics.text_to_image import Networks, score_images, write_result

    given = {role: getattr(args, role) for role in ROLES if getattr(args, role)}
    networks = Networks(load_study(args.study), given)
    names = [name.strip() for name in args.metrics.split(",")]
    for name, result in score_images(names, args.images, args.prompts, networks).items():
        for key, value in result.values.items():
            print(f"{key:<24} {value:.4f}")
        if args.output:
            write_result(args.output, name, result, args.images, args.prompts)
