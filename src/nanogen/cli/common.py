"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.training.stopping import end_of_job

if TYPE_CHECKING:
    from nanogen.config.train_stage import TrainStage


def stage_arguments(parser: argparse.ArgumentParser, *inputs: str, output: str) -> None:
    """Add --config, one required option per name in ``inputs`` (a path), and --output."""
    parser.add_argument("--config", type=Path, required=True, help="the stage's configuration")
    for name in inputs:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help=output)


def at_least(option: str, least: int) -> Callable[[str], int]:
    """Return the argparse type of an integer ``option``; it raises UserError below ``least``."""

    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise UserError(f"{option} {value}: it must be at least {least}")
        return value

    return number


def batch_argument(parser: argparse.ArgumentParser) -> None:
    """Add --batch-size, the number of images that are read at a time for a network."""
    parser.add_argument(
        "--batch-size",
        type=at_least("--batch-size", 1),
        default=128,
        help="images read at a time; results do not depend on it, since networks process 32 at a time "
        "(default: 128)",
    )


def moment(text: str) -> float:
    """Parse a time in UNIX seconds or ISO 8601; raises UserError if it is neither."""
    with suppress(ValueError):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise UserError(
            f"{text!r} is not a time; write 2026-01-31T18:00 or seconds since 1970"
        ) from error


def saving_arguments(parser: argparse.ArgumentParser, checkpoint_every: int) -> None:
    """Add --state, --checkpoint-every, --log-every and --deadline of a training."""
    parser.add_argument("--state", type=Path, required=True, help="folder to save and resume from")
    for option, default in {"--checkpoint-every": checkpoint_every, "--log-every": 50}.items():
        parser.add_argument(option, type=at_least(option, 1), default=default, help="steps")
    parser.add_argument(
        "--deadline",
        type=moment,
        default=end_of_job(),
        help="save and end before this time, e.g. 2026-01-31T18:00 (default: the SLURM job's end)",
    )


def read_stage(path: Path, name: str) -> dict[str, Any]:
    """Read the stage configuration in ``path``; raises UserError if it belongs to another stage."""
    stage = read_json(path)
    if stage.get("stage") != name:
        raise UserError(f"{path} configures stage {stage.get('stage')!r}, not {name!r}")
    return stage


def named_folders(option: str, pairs: list[str]) -> dict[str, Path]:
    """Parse a repeated ``option NAME=DIR``; raises UserError if one is not of this form."""
    return _named(option, pairs, str.partition, "NAME=DIR")


def headed_files(option: str, pairs: list[str]) -> dict[str, Path]:
    """Parse a repeated ``option HEADING=FILE``, as `named_folders`; a heading may contain ``=``."""
    return _named(option, pairs, str.rpartition, "HEADING=FILE")


def _named(
    option: str, pairs: list[str], parts: Callable[[str, str], tuple[str, str, str]], form: str
) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pair in pairs:
        name, separator, path = parts(pair, "=")
        if not separator:
            raise UserError(f"{option} {pair}: expected {form}")
        if found.setdefault(name, Path(path)) != Path(path):
            raise UserError(f"{option} {name} is given twice, as {found[name]} and as {path}")
    return found


def run_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add --study, --method and --task, which name one run."""
    parser.add_argument("--study", required=required, default="nano", help="name or YAML file")
    parser.add_argument("--method", required=required, help="a file in config/methods")
    parser.add_argument(
        "--task", required=required, choices=["imagenet", "t2i"], help="a file in config/tasks"
    )


def stage_of_run(args: argparse.Namespace) -> TrainStage:
    """Return the ``train`` stage of the run that the options of `run_arguments` name."""
    from nanogen.config import load_study, stages
    from nanogen.config.train_stage import TrainStage

    return TrainStage.from_json(stages.train(load_study(args.study), args.method, args.task))
