"""What the executor requests from SLURM for each GPU rule of the paper's study.

SLURM's commands are stand-ins: `sbatch` records its arguments, and `squeue` reports every job as done.
The jobs leave no output, so Snakemake submits each of them a second time. Snakemake and its executor
are real.
"""

from __future__ import annotations

import os
import re

import pytest
import yaml
from sbatch_recorder import Recorder
from working_copy import Job, WorkingCopy

pytestmark = pytest.mark.slow
STUDIES = ("paper", "imagenet-text")
QUICK = (
    "--retries=1",
    "--latency-wait=0",
    "--slurm-status-command=squeue",
    "--seconds-between-status-checks=1",
    "--slurm-init-seconds-before-status-checks=1",
)
# Nodes, GPUs per node, cores, MB, minutes of the first and of the second attempt.
ONE_GPU = (1, 1, 8, 64000)
EXPECTED = {
    "train": (4, 8, 64, 500000, 1440, 1440),
    "sample": (1, 8, 64, 200000, 120, 240),
    "score_images": (1, 8, 64, 200000, 120, 240),
    "train_tokenizer": (1, 8, 64, 500000, 2880, 2880),
    "reconstruct": (*ONE_GPU, 120, 240),
    "encode_latents": (*ONE_GPU, 1440, 2880),
    "encode_features": (*ONE_GPU, 1440, 2880),
    "encode_text": (*ONE_GPU, 1440, 2880),
    "encode_prompts": (*ONE_GPU, 120, 240),
    "encode_classes": (*ONE_GPU, 120, 240),  # only where ImageNet is prompted by text
    "reference": (*ONE_GPU, 480, 960),
    "score_text": (*ONE_GPU, 120, 240),
}


def independent(jobs: list[Job], rules: set[str]) -> dict[str, Job]:
    """Choose a job of each rule such that no chosen job depends on another."""
    maker = {path: job for job in jobs for path in job.outputs}

    def ancestors(job: Job) -> set[str]:
        found: set[str] = set()
        todo = list(job.inputs)
        while todo:
            path = todo.pop()
            if path not in found:
                found.add(path)
                todo += maker[path].inputs if path in maker else []
        return found

    chosen: dict[str, Job] = {}
    needed: set[str] = set()
    for job in jobs:
        if job.rule not in rules or job.rule in chosen or needed & set(job.outputs):
            continue
        made = {path for other in chosen.values() for path in other.outputs}
        if not made & (before := ancestors(job)):
            chosen[job.rule] = job
            needed |= before
    return chosen


def submit(copy: WorkingCopy, recorder: Recorder, study: str, rules: set[str]) -> set[str]:
    """Submit a job of each rule that the study has, and return the submitted rules."""
    file = ("--configfile", f"config/studies/{study}.yaml")
    jobs, submitted = copy.plan("all", *file).jobs, set[str]()
    while chosen := independent(jobs, rules - submitted):
        submitted |= set(chosen)
        for path in {path for job in chosen.values() for path in job.inputs}:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).touch()
            os.utime(copy / path, (0, 0))  # equal times: no input looks newer than its output
        targets = [job.outputs[0] for job in chosen.values()]
        done = recorder.snakemake(copy, *targets, *file, *QUICK)
        assert done.returncode == 1, done.stderr[-3000:]
    return submitted


@pytest.fixture(scope="module")
def lines(working_copy, tmp_path_factory) -> dict[str, list[list[str]]]:
    """sbatch's options for the first and the second attempt, by rule."""
    recorder, missing = Recorder(tmp_path_factory.mktemp("slurm")), set(EXPECTED)
    for study in STUDIES:
        copy = working_copy(tmp_path_factory.mktemp("copy"))
        missing -= submit(copy, recorder, study, missing)
    assert not missing, f"not planned: {missing}"
    found: dict[str, list[list[str]]] = {}
    for rule, options in recorder.submitted():
        found.setdefault(rule, []).append(options)
    return found


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_rule_with_gpus_asks_for_its_nodes(lines, rule):
    nodes, gpus, cores, memory, *minutes = EXPECTED[rule]
    assert len(lines[rule]) == 2
    for options, limit in zip(lines[rule], minutes, strict=True):
        line = " ".join(options)
        assert f"--nodes={nodes} --requeue --cpus-per-task={cores}" in line
        assert line.endswith(f"--gres=gpu:{gpus}")
        assert f"-A research -p gpu -t {limit} --mem {memory}" in line.replace("  ", " ")
        assert "--ntasks" not in line  # one task per node; a job with tasks per GPU may stay pending
        assert ("--signal=USR1@300" in options) == rule.startswith("train")


def test_every_rule_of_the_profile_is_one_of_the_graph(fresh):
    profile = yaml.safe_load((fresh / "profiles/slurm/config.yaml").read_text())
    text = "".join(path.read_text() for path in (fresh / "rules").glob("*.smk"))
    rules = re.findall(r"^ *(?:use )?rule (?:\w+ as )?(\w+)", text, re.MULTILINE)
    assert set(profile["set-resources"]) <= set(rules)


def test_slurm_takes_the_lines_of_the_profile(cluster, lines):
    """Use the real sbatch without submitting; the cluster has two nodes, so four become two."""
    for options, _ in lines.values():
        words = [option.replace("--nodes=4", "--nodes=2") for option in options]
        cluster.run("sbatch", "--test-only", *words, "--wrap=true")
