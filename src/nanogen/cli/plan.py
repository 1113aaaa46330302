"""`nanogen plan`: what a study would compute, fetch and store, from the configuration alone."""

from __future__ import annotations

import argparse

from nanogen.config import PIXELS, Study, load_study, plan, stages
from nanogen.config.cost import gpu_hours, training_flops
from nanogen.config.load import trained_run
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError

# The authors' 100,000 steps took about 10 hours on 32 H200, 89 images/s of each: 9 % of its bf16 peak.
TFLOPS = 989.0
UTILISATION = 0.09


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", default="nano", help="name or YAML file")
    parser.add_argument(
        "--utilisation",
        type=float,
        default=UTILISATION,
        help=f"share of the GPU's peak that training reaches (default: {UTILISATION}, the authors')",
    )
    parser.add_argument(
        "--tflops", type=float, default=TFLOPS, help=f"peak of one GPU (default: {TFLOPS:.0f}, H200)"
    )


def run(args: argparse.Namespace) -> None:
    if not 0 < args.utilisation <= 1 or args.tflops <= 0:
        raise UserError("--utilisation must lie in (0, 1], --tflops above 0")
    study = load_study(args.study)
    runs = len(study.trainings) * len(study.tasks)
    each = f" x {study.seeds} seeds" if study.seeds > 1 else ""
    print(
        f"study {study.study}: {runs} trainings "
        f"({len(study.methods)} methods x {len(study.tasks)} tasks{each})"
    )
    for line in _runs(study, args.tflops, args.utilisation):
        print(line)
    for line in _tokenizers(study):
        print(line)
    if "t2i" in study.tasks:
        from nanogen.config.prompt_counts import images_of_prompts

        print(images_of_prompts(study))
    for line in plan.notice(study) or ["Nothing to fetch; caches take less than 1 GB."]:
        print(line)


def _runs(study: Study, tflops: float, utilisation: float) -> list[str]:
    """A line for every run, one for all, and what the columns mean."""
    from nanogen.backbones import parameter_count

    caches = plan.cache_bytes(study)
    lines = [
        f"{'method':<20} {'task':<8} {'parameters':>11} {'GFLOP/image':>11} {'GPU hours':>9} "
        f"{'cache':>7}"
    ]
    total = 0.0
    for method in study.trainings:
        for task in study.tasks:
            stage = TrainStage.from_json(stages.train(study, method, task))
            hours = gpu_hours(stage, tflops, utilisation)
            total += hours
            tokenizer = trained_run(study, method, task).tokenizer
            kept = f"data/{task}" if tokenizer == PIXELS else f"latents/{task}/{tokenizer}"
            lines.append(
                f"{method:<20} {task:<8} {parameter_count(stage):>11} "
                f"{training_flops(stage) / 1e9:>11.4g} {_hours(hours):>9} "
                f"{plan.human(caches[kept]) if kept in caches else '-':>7}"
            )
    lines.append(f"{'all':<20} {'':<8} {'':>11} {'':>11} {_hours(total):>9}")
    lines.append(
        f"FLOP: of the backbone, in training. GPU hours at {utilisation:.0%} of {tflops:.0f} TFLOP/s. "
        "Cache: latents, or images where there is no tokenizer; methods of one tokenizer share it."
    )
    return lines


def _tokenizers(study: Study) -> list[str]:
    """A line for every tokenizer that is trained here, and what the columns mean."""
    from nanogen.stage1.sizes import sizes

    found = list(sizes(study))
    if not found:
        return []
    lines = [
        f"{'tokenizer':<20} {'steps':>8} {'parameters':>11} {'discriminator':>13} {'of it frozen':>12} "
        f"{'trained from':>12} {'used from':>9}"
    ]
    for size in found:
        phases, judge = size.phases, size.heads + size.frozen
        starts = (phases.disc_start, phases.gan_start) if judge else ("-", "-")
        lines.append(
            f"{size.name:<20} {phases.steps:>8} {size.trained:>11} {judge:>13} {size.frozen:>12} "
            f"{starts[0]:>12} {starts[1]:>9}"
        )
    lines.append(
        "Stage 1: parameters of the RAE's decoder or of the VAE. Discriminator: trained heads on a "
        "frozen encoder, and the steps after which it is trained and used."
    )
    return lines


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"
