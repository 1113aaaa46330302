"""`nanogen sample`: draw a sample set from a trained (or, for reference, an untrained) model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nanogen.cli.common import read_stage, stage_arguments
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="HDF5 file of samples")
    parser.add_argument("--model", type=Path, help="trained model; none for variant untrained")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer that decodes")
    parser.add_argument("--prompts", type=Path, help="prompts, for text to image")
    parser.add_argument("--text", type=Path, help="the prompts' text features")
    parser.add_argument("--batch-size", type=int, default=50)


def run(args: argparse.Namespace) -> None:
    from nanogen.sampling.generate import Generator, generate, labels_of
    from nanogen.training.distributed import processes

    stage = read_stage(args.config, "sample")
    with processes() as group:
        generator = Generator(stage, _model(stage, args.model), _tokenizer(stage, args), group.device)
        conditions, prompts = _conditions(stage, args)
        labels = labels_of(stage, prompts)
        generate(stage, generator, labels, conditions, args.batch_size, group, args.output)


def _model(stage: dict[str, Any], folder: Path | None) -> Any:
    from nanogen.backbones import build, load
    from nanogen.models.card import expect_model

    if stage["variant"] == "untrained":
        return build(stage["train"])
    if folder is None:
        raise UserError(f"variant {stage['variant']} needs --model DIR")
    expect_model(folder, stage["expects"]["model"])
    return load(folder)


def _tokenizer(stage: dict[str, Any], args: argparse.Namespace) -> Any:
    if stage["tokenizer"] == "pixels":
        from nanogen.tokenizers.pixels import Pixels

        return Pixels(stage["train"]["latent"][1])
    from nanogen.models.card import expect_model
    from nanogen.tokenizers import load_tokenizer

    if args.tokenizer is None:
        raise UserError(f"{stage['method']} decodes with {stage['tokenizer']}: give --tokenizer DIR")
    expect_model(args.tokenizer, stage["expects"]["tokenizer"])
    return load_tokenizer(args.tokenizer)


def _conditions(stage: dict[str, Any], args: argparse.Namespace) -> tuple[Any, int | None]:
    """(function from labels to conditions, number of prompts or None)."""
    import torch

    from nanogen.backbones import Condition
    from nanogen.files import check_label, read_json

    conditioner = stage["train"]["conditioner"]
    if conditioner["kind"] == "label":
        return (lambda labels: Condition(labels=torch.from_numpy(labels))), None
    if args.prompts is None or args.text is None:
        raise UserError("text to image needs --prompts FILE and --text FILE")
    from nanogen.data.caches import TextFile
    from nanogen.training.sources import text_condition

    prompts = read_json(args.prompts)
    check_label(prompts, args.prompts, "prompts", 1, stage["expects"]["prompts"])
    text = TextFile(args.text, stage["expects"]["text"])
    tokens = conditioner["tokens"]
    return (lambda rows: text_condition(text, rows, 0, tokens)), len(prompts["prompts"])
