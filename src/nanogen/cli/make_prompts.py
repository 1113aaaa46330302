"""`nanogen make-prompts`: the prompts of the text-to-image evaluation."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the prompts (JSON)")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.caption_sets import fetch_captions
    from nanogen.interop.prompt_rows import fetch_rows
    from nanogen.prompts.prompts import write_prompts

    stage = read_stage(args.config, "prompts")
    fetch_rows(stage, args.output.parent)
    fetch_captions(stage, args.output.parent)
    write_prompts(stage, args.output)
