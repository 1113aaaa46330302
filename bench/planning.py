"""Measure how long Snakemake plans the paper's study for a cluster: all methods and tasks, a sweep.

    python bench/planning.py [--repeats 3] [--output planning.json]

Prints the number of jobs and the best of several runs of `snakemake --profile slurm -n all`, in wall
time and in processor time, which other work on the machine affects less. For comparison it prints the
time in which the same command refuses an unknown target: starting Snakemake and reading the study,
without a graph.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SWEEP = "sweep={scales: [1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0], images: 5000}"
STUDY = ("--configfile", "config/studies/paper.yaml", "--config", SWEEP)


def timed(*targets: str) -> tuple[float, float, str]:
    """Return (wall seconds, processor seconds, output) of a dry run."""
    words = [sys.executable, "-m", "snakemake", "--profile", "slurm", "-n", *targets, *STUDY]
    used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return seconds, processor, done.stdout + done.stderr


def best(repeats: int, *targets: str) -> tuple[float, float, str]:
    runs = [timed(*targets) for _ in range(repeats)]
    return min(run[0] for run in runs), min(run[1] for run in runs), runs[0][2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    seconds, processor, said = best(args.repeats, "all")
    jobs = re.search(r"^total +(\d+)$", said, re.MULTILINE)
    if not jobs:
        sys.exit(said[-3000:])
    start, start_processor, _ = best(args.repeats, "no-such-target")
    figures: dict[str, Any] = {
        "jobs": int(jobs[1]),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "start_seconds": round(start, 1),
        "start_processor_seconds": round(start_processor, 1),
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
    }
    sentence = (
        "{jobs} jobs planned in {seconds} s ({processor_seconds} s of processor time), of which the "
        "start is {start_seconds} s ({start_processor_seconds} s); {cores} cores, load {load}"
    )
    print(sentence.format(**figures))
    if args.output:
        args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
