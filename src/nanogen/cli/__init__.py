"""The `nanogen` program. A command's module is imported when it is called, heavy libraries later."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from nanogen import __version__
from nanogen.ending import UNWRITTEN
from nanogen.errors import UserError, nearest
from nanogen.text import log_to_terminal, printable
from nanogen.training.stopping import CANCELLED, Interrupted

Made = tuple[Mapping[str, Any], Path]
# command -> (module in nanogen.cli, what it does). Each module has arguments(parser) and run(args). The
# latter may return pairs (JSON of a stage, what it made); otherwise that is --output, made by --config
COMMANDS = {
    "config": ("config", "print a resolved configuration and its hash, or the tasks' difference"),
    "params": ("params", "count parameters of a run, or of all, without allocating them"),
    "plan": ("plan", "what a study would compute, fetch and store"),
    "schema": ("schema", "write the JSON schemas of the configuration files"),
    "draw-inputs": ("draw_inputs", "draw pictures in a data set's format, for a rehearsal"),
    "make-data": ("make_data", "draw scenes or import photographs into HDF5"),
    "make-prompts": ("make_prompts", "write the prompts of the text-to-image evaluation"),
    "make-questions": ("make_questions", "write DPG-Bench's questions about the prompts"),
    "build-model": ("build_model", "train a small frozen network from scratch"),
    "random-model": ("random_model", "write a frozen network of random weights, for a rehearsal"),
    "fetch-model": ("fetch_model", "download a frozen network"),
    "fetch-data": ("fetch_data", "download a data set from the Hugging Face hub"),
    "encode-latents": ("encode_latents", "cache a data set's latents"),
    "join-latents": ("join_latents", "join the shards of a latent cache"),
    "encode-features": ("encode_features", "cache a vision encoder's features of a data set"),
    "encode-text": ("encode_text", "cache the text features of captions, classes or prompts"),
    "join-text": ("join_text", "join the shards of text features"),
    "train-tokenizer": (
        "train_tokenizer",
        "stage 1: train one tokenizer (start it with torchrun)",
    ),
    "tune-tokenizer": (
        "tune_tokenizer",
        "stage 1: tune a VAE end to end with a backbone (start it with torchrun)",
    ),
    "reconstruct": ("reconstruct", "how well and how fast a tokenizer gives images back"),
    "train": ("train", "stage 2: train one method on one task (start it with torchrun)"),
    "launch": ("launch", "run a command under torchrun, on one machine or on the nodes of an srun step"),
    "sample": ("sample", "draw images from a trained model: by class or prompt, or a study's set"),
    "choose-guidance": ("choose_guidance", "the guidance scale of a sweep's lowest FID"),
    "import": ("import_checkpoint", "make a model folder from a checkpoint that the authors released"),
    "export": ("export_checkpoint", "write a trained model as a checkpoint under the released names"),
    "import-rae": ("import_rae", "make a tokenizer from a released decoder and statistics"),
    "export-rae": ("export_rae", "write an RAE as a decoder and statistics in the released form"),
    "reference": ("reference", "features and moments of the real images"),
    "fetch-checkpoint": ("fetch_checkpoint", "a trained model that its authors published, imported"),
    "stand-in": ("stand_in", "a command, with a stand-in of the hub that has tiny released models"),
    "score-samples": ("score_samples", "every metric of a study's sample set, or one of them"),
    "score": ("score", "score anyone's images: FID, IS, MIND and the like, without a study"),
    "score-t2i": ("score_t2i", "text-to-image metrics of images that anybody drew"),
    "table": ("table", "one of the paper's tables, published or measured"),
    "figure": ("figure", "one of the paper's figures, published or measured"),
    "correlate": ("correlate", "do ImageNet's numbers tell text-to-image scores? with intervals"),
    "claims": ("claims", "which of the paper's claims hold, by its numbers or a study's"),
    "grid": ("grid", "a picture of sample images"),
    "submit": ("submit", "leaderboard entries from metric files, or entries checked against them"),
    "leaderboard": ("leaderboard", "leaderboard entries merged into a table of both axes"),
    "numbers": ("numbers", "the numbers that a text quotes, as LaTeX commands"),
    "bundle": ("bundle", "a study's tables, figures and numbers in one archive, with checksums"),
    "trace": ("trace", "where a number of a table comes from: files, commit, device, time, command"),
    "explorer": ("explorer", "one HTML page to explore the methods on both axes"),
    "profile": ("profile", "where a study's time went: wall, processor and memory of every command"),
    "summary": ("summary", "what a finished study holds, for the terminal"),
    "licences": ("licences", "the licence of every installed package"),
    "docs": ("docs", "the documentation as a site that opens from disk"),
}


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    listing = "\n".join(f"  {name:<{width}}{text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="nanogen",
        description="DiffusionBench, step by step. Snakemake calls these commands in order.",
        epilog=f"commands:\n{listing}\n\nnanogen COMMAND --help tells a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nanogen {__version__}")
    parser.add_argument("command", metavar="COMMAND")
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"nanogen.cli.{COMMANDS[name][0]}")


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    parser = argparse.ArgumentParser(prog=f"nanogen {name}", description=COMMANDS[name][1])
    _module(name).arguments(parser)
    return parser


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of all commands, by their names."""
    return {name: parser_of(name) for name in COMMANDS}


def _record(
    args: argparse.Namespace, made: Sequence[Made] | None, argv: Sequence[str], began: datetime
) -> None:
    """Note beside its outputs how a step of the graph, a command with --config and --output, ran."""
    from nanogen.files import read_json
    from nanogen.records import facts, record

    config, output = getattr(args, "config", None), getattr(args, "output", None)
    if made is None and isinstance(config, Path) and isinstance(output, Path):
        made = [(read_json(config), output)]
    if made and facts.rank() == 0:
        record.write(made, argv, began)


def _run(name: str, args: argparse.Namespace, argv: Sequence[str], began: datetime) -> None:
    """Run a command; in a store, where there is one and its output belongs there."""
    from nanogen import store
    from nanogen.cli.stored import entry_of

    def make(output: Path | None) -> None:
        if output:
            args.output = output
        _record(args, _module(name).run(args), argv, began)

    if entry := entry_of(name, args):
        store.provide(entry, args.output, make)
    else:
        make(None)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 if it succeeded, 2 for a user's mistake, 130 when interrupted, 75 when out of
    time."""
    argv = sys.argv[1:] if argv is None else argv
    began = datetime.now(UTC)
    log_to_terminal(logging.INFO)
    name = _parser().parse_args(argv[:1] or ["--help"]).command
    try:
        if name not in COMMANDS:
            raise UserError(f"unknown command {name!r}{nearest(name, COMMANDS)}")
        args = parser_of(name).parse_args(argv[1:])
        _run(name, args, argv, began)
    except UserError as error:
        print(printable(f"nanogen {name}: {error}"), file=sys.stderr)
        return 2
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNWRITTEN
    except KeyboardInterrupt as error:
        print(f"nanogen {name}: {str(error) or 'interrupted'}", file=sys.stderr)
        return error.code if isinstance(error, Interrupted) else CANCELLED
    return 0
