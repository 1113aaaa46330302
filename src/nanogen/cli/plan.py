"""`nanogen plan`: what a study would fetch and store, from the configuration alone."""

from __future__ import annotations

import argparse

from nanogen.config import load_study, plan


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", default="nano", help="name or YAML file")


def run(args: argparse.Namespace) -> None:
    study = load_study(args.study)
    runs = len(study.methods) * len(study.tasks)
    print(
        f"study {study.study}: {runs} trainings "
        f"({len(study.methods)} methods x {len(study.tasks)} tasks)"
    )
    for line in plan.notice(study) or ["Nothing to fetch; caches take less than 1 GB."]:
        print(line)
