"""`nanogen config`: print a run's resolved configuration and hash, or how the tasks differ."""

from __future__ import annotations

import argparse

import yaml

from nanogen.cli.common import run_arguments, stage_of_run
from nanogen.config import Study, load_run, load_study
from nanogen.config.task_difference import task_difference


def arguments(parser: argparse.ArgumentParser) -> None:
    run_arguments(parser, required=False)
    parser.add_argument(
        "--diff-tasks",
        action="store_true",
        help="print and count what differs between ImageNet and text-to-image",
    )


def run(args: argparse.Namespace) -> None:
    study = load_study(args.study)
    args.method = args.method or study.methods[0]
    if args.diff_tasks:
        _print_difference(study, args.method)
        return
    args.task = args.task or study.tasks[0]
    resolved, stage = load_run(study, args.method, args.task), stage_of_run(args)
    keys = resolved.model_dump(mode="json")
    print(yaml.safe_dump(keys, sort_keys=False, default_flow_style=None, width=100), end="")
    print(f"hash: {stage.hash}")


def _print_difference(study: Study, method: str) -> None:
    rows = [row for row in task_difference(study, method) if row[0] != "task"]
    width = max(len(key) for key, _, _ in rows)
    evaluated = [row for row in rows if row[0].startswith(("sampling.", "evaluation."))]
    trained = [row for row in rows if row not in evaluated]
    for title, group in (("training", trained), ("evaluation", evaluated)):
        print(f"{title}:")
        for key, imagenet, t2i in group:
            print(f"  {key:<{width}}  {imagenet}  ->  {t2i}")
    print(
        f"{len(trained)} lines of training and {len(evaluated)} of evaluation differ between "
        f"imagenet and t2i for {method} (study {study.study}); the paper reports about 12"
    )
