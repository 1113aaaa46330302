"""`nanogen score-mplug`: DPG-Bench by mPLUG, in the environment envs/dpg.yaml."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", "prompts", "questions", output="folder of dpg.json")


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.mplug import PREFIX, MPlug
    from nanogen.metrics.question_scores import score_questions

    stage = read_stage(args.config, "question_scores")
    model = MPlug(stage["models"]["dpg"]["model_class"].removeprefix(PREFIX))
    files = args.samples, args.prompts, args.questions
    score_questions(stage, *files, {"dpg": model}, args.output, shifts=0)
