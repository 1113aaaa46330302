"""`nanogen plan`: what a study would compute, download and store, from its configuration."""

from __future__ import annotations

import argparse

from nanogen.config import PIXELS, Study, cache_choice, disk, load_study
from nanogen.config.cache_choice import Choice
from nanogen.config.cost import DECODING, EXTRACTION, gpu_hours, hours, training_flops
from nanogen.config.load import trained_run
from nanogen.config.schema import Task
from nanogen.errors import UserError
from nanogen.text import human

# The authors' 100,000 steps took about 10 hours on 32 H200: 89 images/s on each, 9 % of its bf16 peak.
TFLOPS = 989.0
UTILISATION = 0.09


SAMPLING_UTILISATION = 0.3  # forward passes in bfloat16; assumed, not measured


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", default="nano", help="name or YAML file")
    parser.add_argument("--data-root", help="folder of the photographs, for a study of your own images")
    parser.add_argument(
        "--utilisation",
        type=float,
        help="fraction of the GPU's peak that is reached (default: for training the study's key, or the "
        f"authors' {UTILISATION}; for sampling {SAMPLING_UTILISATION}, which is assumed)",
    )
    parser.add_argument(
        "--tflops", type=float, default=TFLOPS, help=f"peak of one GPU (default: {TFLOPS:.0f}, H100)"
    )
    parser.add_argument(
        "--free-gb",
        type=float,
        help="plan for a disk with this many gigabytes free (default: the free space of results/)",
    )


def run(args: argparse.Namespace) -> None:
    if not args.tflops > 0 or not (args.utilisation is None or 0 < args.utilisation <= 1):
        raise UserError("--utilisation must be in (0, 1], and --tflops above 0")
    if args.free_gb is not None and not args.free_gb >= 0:  # also not a number
        raise UserError("--free-gb must be at least 0")
    study = load_study(args.study, {"data_root": args.data_root} if args.data_root else None)
    from nanogen.report.totals import own_runs, totals

    own = own_runs(study) if _known(study) else []
    each = f" x {study.seeds} seeds" if study.seeds > 1 else ""
    count = len(own) if _known(study) else len(study.trainings) * len(study.tasks)
    print(
        f"study {study.study}: {count} trainings "
        f"({len(study.methods)} methods x {len(study.tasks)} tasks{each})"
    )
    if not _known(study):
        print("Its sizes depend on the photographs: give their folder with --data-root PATH.")
        print("In all: nothing to download; disk and CPU minutes depend on the photographs.")
        return
    free = None if args.free_gb is None else args.free_gb * 1e9
    choice = cache_choice.choice(study) if free is None else cache_choice.choose(study, free)
    training = args.utilisation or study.utilisation or UTILISATION
    forward = args.utilisation or SAMPLING_UTILISATION
    lines = _runs(study, choice, own, args.tflops, training)
    lines += _samples(study, args.tflops, forward)
    lines += _tokenizers(study)
    if "t2i" in study.tasks:
        from nanogen.config.prompt_counts import images_of_prompts

        lines.append(images_of_prompts(study))
    lines += disk.notice(study, choice) or ["Nothing to fetch; data and caches take less than 1 GB."]
    for line in [*lines, *totals(study, choice, args.tflops, training, forward)]:
        print(line)


def _known(study: Study) -> bool:
    """Whether the sizes of the data are known; for a user's photographs this needs their folder."""
    return study.data.get("source") != "folder" or bool(study.data_root)


def _runs(
    study: Study, choice: Choice, own: list[tuple[str, Task]], tflops: float, utilisation: float
) -> list[str]:
    """Return a line for each training, the total and a legend; empty if nothing is trained."""
    from nanogen.backbones import parameter_count
    from nanogen.report.totals import train_stage

    if not own:
        return []
    caches, gpus = disk.disk_of(study, choice).stored, study.for_gpus
    spent = {run: gpu_hours(train_stage(study, *run), tflops, utilisation) for run in own}
    head = f"{'method':<20} {'task':<8} {'parameters':>11} {'GFLOP/image':>11}"
    lines = [f"{head}{' GPU hours' * gpus} {'cache':>7}"]
    for method, task in own:
        stage = train_stage(study, method, task)
        tokenizer = trained_run(study, method, task).tokenizer
        kept = f"data/{task}" if tokenizer == PIXELS else f"latents/{task}/{tokenizer}"
        lines.append(
            f"{method:<20} {task:<8} {parameter_count(stage):>11} {training_flops(stage) / 1e9:>11.4g}"
            f"{f' {_hours(spent[method, task]):>9}' * gpus} "
            f"{human(caches[kept]) if kept in caches else '-':>7}"
        )
    if gpus:
        lines.append(f"{'all':<20} {'':<8} {'':>11} {'':>11} {_hours(sum(spent.values())):>9}")
    assumed = f" GPU hours at {utilisation:.0%} of {tflops:.0f} TFLOP/s." * gpus
    lines.append(
        f"FLOP: of the backbone, in training.{assumed} "
        "Cache: latents, or images if there is no tokenizer; methods with the same tokenizer share it."
    )
    return lines


def _samples(study: Study, tflops: float, utilisation: float) -> list[str]:
    """Return the GPU hours of sampling and features per method, for a study that trains nothing."""
    if study.released is None or not study.released.models or not study.for_gpus:
        return []
    from nanogen.report.totals import sample_sets

    lines, total = [f"{'method':<20} {'task':<8} {'images':>9} {'GPU hours':>9}"], 0.0
    for run, _, images, operations in sample_sets(study):
        taken = hours(operations, tflops, utilisation)
        total += taken
        lines.append(f"{run.method:<20} {run.task:<8} {images:>9} {_hours(taken):>9}")
    return [
        *lines,
        f"{'all':<20} {'':<8} {'':>9} {_hours(total):>9}",
        f"Sampling and features, by operations at {utilisation:.0%} of {tflops:.0f} TFLOP/s: the "
        f"backbone's passes, {DECODING / 1e12:g} TFLOP per image of decoding and "
        f"{EXTRACTION / 1e12:g} of features. Not counted: detectors and models that answer questions.",
    ]


def _tokenizers(study: Study) -> list[str]:
    """Return a line for each tokenizer that the study trains, and a legend."""
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
            f"{size.name:<20} {phases.steps:>8} {size.trained or '-':>11} {judge:>13} {size.frozen:>12} "
            f"{starts[0]:>12} {starts[1]:>9}"
        )
    lines.append(
        "Stage 1: parameters of the RAE's decoder or of the VAE (-: those of a download that it starts "
        "from). Discriminator: trained heads on a frozen encoder, and the steps after which it is "
        "trained and used."
    )
    return lines


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"
