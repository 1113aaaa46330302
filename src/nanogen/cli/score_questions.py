"""`nanogen score-questions`: DPG-Bench and GenAI-Bench of one sample set."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import named_folders, read_stage, stage_arguments
from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "samples", "prompts", output="folder of dpg.json and genai.json")
    parser.add_argument("--questions", type=Path, help="for dpg: the questions about the prompts")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="METRIC=DIR",
        help="what answers, e.g. dpg=DIR; repeat for genai",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.metrics.question_scores import score_questions
    from nanogen.metrics.vqa import load_vqa
    from nanogen.models.card import expect_model

    stage = read_stage(args.config, "question_scores")
    folders = named_folders("--model", args.model)
    unknown = sorted(folders.keys() - stage["models"].keys())
    if unknown or not folders:
        raise UserError(
            f"--model: {', '.join(unknown) or 'none given'}; the study measures "
            f"{', '.join(stage['models'])}"
        )
    loaded = {}
    for metric, folder in folders.items():  # one network often serves both
        expect_model(folder, stage["expects"][f"{metric}_model"])
        if folder not in loaded:
            loaded[folder] = load_vqa(folder, read(Model, stage["models"][metric]))
    models = {metric: loaded[folder] for metric, folder in folders.items()}
    score_questions(stage, args.samples, args.prompts, args.questions, models, args.output)
