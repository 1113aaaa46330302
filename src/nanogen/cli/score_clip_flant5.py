"""`nanogen score-clip-flant5`: GenAI-Bench by CLIP-FlanT5, in the environment envs/vqascore.yaml."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", "prompts", output="folder of genai.json")


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.clip_flant5 import PREFIX, ClipFlanT5
    from nanogen.metrics.question_scores import score_questions

    stage = read_stage(args.config, "question_scores")
    model = ClipFlanT5(stage["models"]["genai"]["model_class"].removeprefix(PREFIX))
    files = args.samples, args.prompts, None
    score_questions(stage, *files, {"genai": model}, args.output, shifts=0)
