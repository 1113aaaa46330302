"""`nanogen random-model`: a frozen network of random weights, in the format of the downloaded one."""

from __future__ import annotations

import argparse
import time

from nanogen.cli.common import read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the model's folder")


def run(args: argparse.Namespace) -> None:
    from nanogen.files import atomic_folder
    from nanogen.models.card import write_card
    from nanogen.models.stand_ins import write_stand_in

    stage = read_stage(args.config, "model")
    started = time.monotonic()
    with atomic_folder(args.output) as folder:
        write_stand_in(stage, folder)
        write_card(folder, stage, {}, time.monotonic() - started)
