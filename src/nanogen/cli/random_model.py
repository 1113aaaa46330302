"""`nanogen random-model`: write a frozen network with random weights, in the downloaded one's format."""

from __future__ import annotations

import argparse
import time

from nanogen.cli.common import read_stage, stage_arguments
from nanogen.config.model_stage import ModelStage


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the model's folder")


def run(args: argparse.Namespace) -> None:
    from nanogen.files import atomic_folder
    from nanogen.models.card import write_card
    from nanogen.small_networks.random_networks import write_random_network

    stage = ModelStage.from_json(read_stage(args.config, "model"))
    started = time.monotonic()
    with atomic_folder(args.output) as folder:
        write_random_network(stage, folder)
        write_card(folder, stage, {}, time.monotonic() - started)
