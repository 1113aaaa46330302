"""`nanogen fetch-model`: download a frozen network from the Hugging Face hub or from a URL."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the model's folder")


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.fetching import fetch_model

    fetch_model(read_stage(args.config, "model"), args.output)
