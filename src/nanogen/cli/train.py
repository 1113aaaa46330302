"""`nanogen train`: train stage 2 of one run, under torchrun or in a single process."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.cli.common import (
    at_least,
    named_folders,
    read_stage,
    saving_arguments,
    stage_arguments,
)
from nanogen.config.cache_stage import CacheStage
from nanogen.config.trackers import TRACKERS
from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.config.train_stage import TrainStage
    from nanogen.stage2.encoded import Encoded, EncodedText
    from nanogen.stage2.evaluation import Online
    from nanogen.training.processes import Processes


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="folder of the trained model")
    parser.add_argument("--latents", type=Path, help="latent cache, for methods with a tokenizer")
    parser.add_argument(
        "--data",
        type=Path,
        help="images, for methods without a tokenizer or if latents or text are encoded while training",
    )
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer that encodes the images while training"
    )
    parser.add_argument("--encode", type=Path, help="configuration of the latents to encode")
    parser.add_argument("--text", type=Path, help="text features, for text-to-image")
    parser.add_argument(
        "--text-encoder", type=Path, help="text encoder that encodes the captions while training"
    )
    parser.add_argument("--encode-text", type=Path, help="configuration of the text features to encode")
    parser.add_argument("--cls", type=Path, help="cls features of a vision encoder, for REG")
    parser.add_argument("--patches", type=Path, help="patch features of a vision encoder, for REPA")
    parser.add_argument("--initial", type=Path, help="folder of the trained model to start from")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a frozen network that a loss term or the evaluation needs; may be repeated",
    )
    online = parser.add_argument_group("evaluation during training")
    online.add_argument(
        "--online",
        type=Path,
        help="configuration of the evaluation during training (default: no evaluation)",
    )
    online.add_argument("--reference", type=Path, help="class-conditional: moments of the real images")
    online.add_argument("--prompts", type=Path, help="text-to-image: prompts of the evaluation")
    online.add_argument("--prompt-text", type=Path, help="text-to-image: the prompts' text features")
    saving_arguments(parser, checkpoint_every=1000)
    parser.add_argument(
        "--keep",
        type=int,
        nargs="*",
        metavar="STEP",
        help="also keep the averaged weights after these steps",
    )
    tracking = parser.add_argument_group("trackers, in addition to the curve in train.jsonl")
    tracking.add_argument("--tracker", action="append", default=[], choices=list(TRACKERS))
    tracking.add_argument("--tracking", type=Path, help="folder for the trackers' files")
    parser.add_argument(
        "--keep-state",
        action="store_true",
        help="also keep the trained weights and the optimizer state in the folder",
    )
    processes = parser.add_argument_group("work of the processes; changes results by rounding only")
    processes.add_argument(
        "--sharding",
        choices=["none", "fsdp"],
        default="none",
        help="none: each process holds the whole network; fsdp: each holds a part (default: none)",
    )
    processes.add_argument(
        "--micro-batch",
        type=at_least("--micro-batch", 0),
        default=0,
        help="largest number of samples that a process computes at once; 0 for its whole share of the "
        "batch (default: 0)",
    )


def run(args: argparse.Namespace) -> None:
    from contextlib import nullcontext

    from nanogen.config.train_stage import TrainStage
    from nanogen.files import remove_folder
    from nanogen.objectives import term_networks
    from nanogen.stage2.dataset import TrainingData
    from nanogen.stage2.loop import train
    from nanogen.training.checkpoint import locked
    from nanogen.training.execution import Execution
    from nanogen.training.processes import processes

    if args.tracker and not args.tracking:
        raise UserError("--tracker needs --tracking FOLDER")
    stage = TrainStage.from_json(read_stage(args.config, "train"))
    steps = stage.training.steps
    for step in args.keep or ():
        if not 1 <= step <= steps:
            raise UserError(f"--keep {step}: the training has the steps 1 to {steps}")
    folders = named_folders("--network", args.network)
    execution = Execution(
        checkpoint_every=args.checkpoint_every,
        log_every=args.log_every,
        deadline=args.deadline,
        sharding=args.sharding,
        micro_batch=args.micro_batch,
        snapshots=args.keep,
        keep_state=args.keep_state,
        trackers=args.tracker,
        tracking=args.tracking,
    )
    with processes() as group:
        inputs = (args.latents, args.data, args.text, args.cls, args.patches)
        encoded, captions = _encoded(args, stage, group), _captions(args, stage, group)
        dataset = TrainingData(stage, *inputs, encoded=encoded, captions=captions)
        with locked(args.state) if group.main else nullcontext():
            train(
                stage,
                dataset,
                state=args.state,
                output=args.output,
                group=group,
                execution=execution,
                networks=term_networks(stage, folders, group.device),
                online=_online(args, stage, folders, group) if args.online else None,
                initial=args.initial,
            )
            if group.main:
                remove_folder(args.state)


def _encoded(args: argparse.Namespace, stage: TrainStage, group: Processes) -> Encoded | None:
    """Return the latents that are encoded during training; None without --encode."""
    if not args.encode:
        return None
    if not args.data or not args.tokenizer:
        raise UserError("--encode needs --data FILE and --tokenizer FOLDER")
    from nanogen.stage2.encoded import Encoded

    latents = CacheStage.from_json(read_stage(args.encode, "latents"))
    chunk, bf16 = stage.training.noise_chunk, stage.training.precision == "bf16"
    expected = stage.expects.get("latents", "none, but pixels")
    return Encoded(latents, expected, args.data, args.tokenizer, group.device, chunk, bf16)


def _captions(args: argparse.Namespace, stage: TrainStage, group: Processes) -> EncodedText | None:
    """Return the captions that are encoded during training; None without --encode-text."""
    if not args.encode_text:
        return None
    if not args.data or not args.text_encoder:
        raise UserError("--encode-text needs --data FILE and --text-encoder FOLDER")
    from nanogen.stage2.encoded import EncodedText

    text = CacheStage.from_json(read_stage(args.encode_text, "text"))
    expected = stage.expects.get("text", "none, but labels")
    return EncodedText(text, expected, args.data, args.text_encoder, stage.conditioner, group.device)


def _online(
    args: argparse.Namespace, stage: TrainStage, folders: dict[str, Path], group: Processes
) -> Online:
    """Return the evaluation during training; its inputs are loaded here, before the first step."""
    from nanogen.config.sample_stage import OnlineStage
    from nanogen.stage2.evaluation import Inputs, Online

    online = OnlineStage.from_json(read_stage(args.online, "online"))
    inputs = Inputs(folders, args.reference, args.prompts, args.prompt_text)
    return Online(online, stage, inputs, group)
