"""`nanogen make-questions`: DPG-Bench's questions about the evaluation's prompts."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "prompts", output="the questions (JSON)")


def run(args: argparse.Namespace) -> None:
    from nanogen.prompts.questions import write_questions

    write_questions(read_stage(args.config, "questions"), args.prompts, args.output)
