"""`nanogen params`: parameter counts of a run or of all, without allocating weights."""

from __future__ import annotations

import argparse

from nanogen.config import Study, load_study, stages
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", default="nano", help="name or YAML file")
    parser.add_argument("--method", help="a file in config/methods")
    parser.add_argument("--task", choices=["imagenet", "t2i"])
    parser.add_argument("--all", action="store_true", help="list every run of the study as CSV")
    parser.add_argument(
        "--tokenizers", action="store_true", help="list every tokenizer that the study trains as CSV"
    )


def run(args: argparse.Namespace) -> None:
    if args.tokenizers:
        _tokenizers(args.study)
        return
    named = (args.method, args.task)
    if args.all == any(named) or any(named) != all(named):
        raise UserError("give --method and --task for one run, or --all for every run, or --tokenizers")
    study = load_study(args.study)
    if not args.all:
        print(_parameters(study, args.method, args.task))
        return
    print("method,task,params")
    for method in study.methods:
        for task in study.tasks:
            print(f"{method},{task},{_parameters(study, method, task)}", flush=True)


def _parameters(study: Study, method: str, task: str) -> int:
    from nanogen.backbones import parameter_count

    return parameter_count(TrainStage.from_json(stages.train(study, method, task)))


def _tokenizers(study: str) -> None:
    """Print the sizes of what stage 1 trains.

    These are decoders or autoencoders, and heads on a frozen discriminator's features.
    """
    from nanogen.stage1.sizes import sizes

    print("tokenizer,steps,params,discriminator_heads,discriminator_frozen")
    for size in sizes(load_study(study)):
        row = (size.name, size.phases.steps, size.trained or "-", size.heads, size.frozen)
        print(",".join(map(str, row)), flush=True)
