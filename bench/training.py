"""Compare training and sampling with a straightforward baseline.

    python bench/training.py [--suite cpu|gpu] [--quick] [--rounds N] [--output FILE]

Every case is set up twice, with this project's code and with bench/plain.py, each in a separate process;
the two take turns, and so do MeanFlow and flow matching. Seconds of a step are medians over the turns
with their range: processor time on a CPU, where one thread computes, and wall time on a GPU.
`utilisation` is the share of the device's bfloat16 peak that a step's matrix products reach. The suite
`gpu` first checks results on the device (bench/training_checks.py) and exits with status 1 if one is
wrong; without a GPU it runs at a tiny size on the CPU. `--quick` runs two rounds at a tiny size.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # reads the number of threads
from training_cases import SIZES, Case, Worker, flops
from training_checks import checks

from nanogen.training.machine import peak_of

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["training_cases"])
RESULTS = Path(__file__).parent / "results"
VARIANTS = ("ours", "plain")
FLOW = "flow matching"  # whose steps MeanFlow's are compared with
PARTS = ("data", "forward", "backward", "optimizer")
# what: (limit relative to the baseline's time, size, work)
BARS = {
    "nano training": (0.80, "nano", FLOW),
    "middle training": (0.90, "middle", FLOW),
    "sampling": (0.70, "nano", "sampling"),
}
BLOCK = 0.5  # seconds of a turn
ROUNDS = {"cpu": 11, "gpu": 7}
DERIVATIVE, MEAN = 2.4, 2.0  # limits of MeanFlow's steps, in steps of flow matching


def cases_of(suite: str, sizes: Sequence[str]) -> list[Case]:
    """The cases of a suite at these sizes, the smallest first."""
    if suite == "cpu":
        found = [Case(size, text) for size in sizes for text in ("labels", "text")]
        small = sizes[0]
        found += [Case(small, work="meanflow"), Case(small, source="online")]
        return found + [Case(small, text, "sampling") for text in ("labels", "text")]
    found = []
    for size in sizes:
        base = Case(size, precision="bf16", compiled=torch.cuda.is_available())
        found += [base, replace(base, condition="text"), replace(base, work="meanflow")]
        found += [replace(base, source="online"), replace(base, work="sampling")]
        found += [replace(base, compiled=False)] if base.compiled else []
    return found


class Remote:
    """A worker in a process of its own, forked from one that has imported the libraries."""

    def __init__(self, case: Case, variant: str, device: str, block: float):
        self.connection, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(
            target=serve, args=(theirs, case, variant, device, block), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, what: str) -> Any:
        try:
            self.connection.send(what)
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            status = self.process.exitcode
            raise SystemExit(f"bench/training.py: a worker ended with status {status}") from None

    def close(self) -> None:
        self.connection.close()
        self.process.join()


def serve(connection: Connection, case: Case, variant: str, device: str, block: float) -> None:
    """Answer ``measure KIND`` and ``about`` until the other end of the connection is closed."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    worker = Worker(case, variant, torch.device(device), block)
    with suppress(EOFError):
        while True:
            what, _, kind = connection.recv().partition(" ")
            connection.send(worker.measure(kind) if what == "measure" else worker.about())


def rows_of(case: Case, rounds: int, device: str) -> list[dict[str, Any]]:
    """Return one row or, for MeanFlow, one per kind of step."""
    block = BLOCK if case.size != "tiny" else 0.0
    workers = {variant: Remote(case, variant, device, block) for variant in VARIANTS}
    kinds = ("",)
    if case.work == "meanflow":
        kinds = ("flow", "derivative")
        workers[FLOW] = Remote(replace(case, work=FLOW), "ours", device, block)
    measured: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(rounds + 1):
        for kind in kinds:
            for variant, worker in workers.items():
                found = worker.ask(f"measure {'' if variant == FLOW else kind}")
                if turn:  # the first turn loads and compiles
                    measured.setdefault((kind, variant), []).append(found)
    about = {variant: worker.ask("about") for variant, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    images = SIZES[case.size].batch * (2 if case.work == "sampling" else 1)
    rows = []
    for kind in kinds:
        ours, plain = (measured[kind, variant] for variant in VARIANTS)
        ratios = [a["whole"] / b["whole"] for a, b in zip(ours, plain, strict=True)]
        row: dict[str, Any] = {"case": case.name + (f", {kind} step" if kind else ""), "kind": kind}
        row |= {key: value for key, value in about["ours"].items() if key != "mebibytes"}
        row |= {"seconds": spread([x["whole"] for x in ours])}
        row |= {"seconds_plain": spread([x["whole"] for x in plain]), "ratio": spread(ratios)}
        if compared := measured.get((kind, FLOW)):
            row |= {
                "steps": spread([a["whole"] / b["whole"] for a, b in zip(ours, compared, strict=True)])
            }
        row |= {"images_per_second": images / row["seconds"][0]}
        row |= {"mib": about["ours"]["mebibytes"], "mib_plain": about["plain"]["mebibytes"]}
        row |= {part: median(x.get(part, 0.0) for x in ours) for part in PARTS if "data" in ours[0]}
        row |= utilisation(case, row["seconds"][0], device)
        rows.append(row)
    return rows


def spread(values: Sequence[float]) -> list[float]:
    """Median, least and most."""
    return [median(values), min(values), max(values)]


def utilisation(case: Case, seconds: float, device: str) -> dict[str, float]:
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    peak = peak_of(name)
    if not peak or case.work != FLOW:
        return {}
    return {"utilisation": flops(case) / seconds / peak}


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| case | images/s | ms | plain, ms | ratio | MiB | plain, MiB | data, forward, backward, "
        "optimizer: % | utilisation |",
        "|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    for row in rows:
        ms, plain = (ranged(row[key], 1e3) for key in ("seconds", "seconds_plain"))
        parts = [f"{100 * row[part] / row['seconds'][0]:.0f}" for part in PARTS if part in row]
        used = f"{100 * row['utilisation']:.0f} %" if "utilisation" in row else ""
        lines.append(
            f"| {row['case']} | {row['images_per_second']:.0f} | {ms} | {plain} | "
            f"{ranged(row['ratio'])} | {row['mib']:.0f} | {row['mib_plain']:.0f} | "
            f"{', '.join(parts)} | {used} |"
        )
    return "\n".join(lines)


def ranged(values: Sequence[float], unit: float = 1.0) -> str:
    middle, least, most = (f"{value * unit:.3g}" for value in values)
    return f"{middle} ({least} to {most})"


def verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each bar that the rows measure."""
    lines = []
    for name, (bar, size, work) in BARS.items():
        for row in rows:
            if (row["size"], row["work"], row["source"]) == (size, work, "cache"):
                what = f"{name}, {row['condition']}"
                lines.append(held(what, row["ratio"][0], bar, "of the baseline's time"))
    steps = {(row["size"], row["kind"]): row["steps"][0] for row in rows if "steps" in row}
    for size in dict.fromkeys(size for size, _ in steps):
        derivative, flow = steps[size, "derivative"], steps[size, "flow"]
        unit = "steps of flow matching"
        lines.append(held(f"{size}, MeanFlow's derivative step", derivative, DERIVATIVE, unit))
        mean = 0.25 * derivative + 0.75 * flow  # a quarter of a run's steps takes the derivative
        lines.append(held(f"{size}, MeanFlow's mean step", mean, MEAN, unit))
    return lines


def held(what: str, found: float, bar: float, unit: str) -> str:
    return f"{what}: {found:.2f} {unit}, bar {bar:.2f}, {'held' if found <= bar else 'missed'}"


def about(device: str, threads: int) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"device": name, "date": f"{datetime.date.today()}", "threads": threads, **versions}


def processor() -> str:
    """The CPU's name, with its family and model: virtual machines shorten the name."""
    info = Path("/proc/cpuinfo")
    described = info.read_text() if info.exists() else ""
    keys = ("model name", "cpu family", "model")
    found = [re.search(rf"^{key}\s*: (.*)", described, re.MULTILINE) for key in keys]
    name, family, model = (match[1] if match else "" for match in found)
    return f"{name} family {family} model {model}" if name else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="two rounds at a tiny size")
    parser.add_argument("--rounds", type=int, help="turns of each (default: 11, on a GPU 7)")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), help="default: the suite's")
    parser.add_argument("--output", type=Path, help="default: bench/results/<device>.json")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    device = "cuda" if args.suite == "gpu" and torch.cuda.is_available() else "cpu"
    tiny = args.quick or (args.suite == "gpu" and device == "cpu")
    usual = ["nano", "middle"] if args.suite == "cpu" else ["nano", "middle", "paper"]
    sizes = args.sizes or (["tiny"] if tiny else usual)
    checked = checks(sizes[-1], torch.device(device)) if args.suite == "gpu" else []
    for check in checked:
        print(check, flush=True)
    rounds = 2 if tiny else args.rounds or ROUNDS[args.suite]
    rows = [row for case in cases_of(args.suite, sizes) for row in rows_of(case, rounds, device)]
    bars = verdicts(rows)
    print("\n".join([table(rows), "", *bars]))
    found = about(device, torch.get_num_threads())
    output = (
        args.output or RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', found['device'].lower()).strip('-')}.json"
    )
    if args.output or not tiny:
        output.parent.mkdir(exist_ok=True)
        results = {**found, "checks": [str(check) for check in checked], "bars": bars, "rows": rows}
        output.write_text(json.dumps(results, indent=1) + "\n")
    if not all(check.right for check in checked):
        sys.exit(1)


if __name__ == "__main__":
    main()
