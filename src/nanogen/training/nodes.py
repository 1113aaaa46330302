"""The nodes that run one step together: who they are by SLURM's word, and whether all have come."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from nanogen.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import Store

FIRST_PORT, PORTS = 20000, 12000  # below the range that systems give to clients


@dataclass(frozen=True)
class Step:
    """This node among those of the step.

    ``nodes`` is how many they are, ``node`` this one's index from 0, ``first`` the address of node 0.
    ``job`` is SLURM's job, ``listed`` its list of the nodes, e.g. ``c[1-4]``; empty without SLURM.
    """

    nodes: int = 1
    node: int = 0
    first: str = "127.0.0.1"
    job: str = ""
    listed: str = ""

    @property
    def port(self) -> int:
        """Where node 0 calls the roll; the next one is torchrun's. Jobs that share a node differ."""
        return FIRST_PORT + 2 * (int(self.job or 0) % (PORTS // 2))

    @property
    def names(self) -> list[str]:
        """The nodes' names in order; their indices where SLURM does not tell."""
        with suppress(OSError, subprocess.SubprocessError):
            words = ["scontrol", "show", "hostnames", self.listed]
            found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            if len(found) == self.nodes:
                return found
        return [f"node {index}" for index in range(self.nodes)]


def in_job() -> bool:
    """Whether this process is a SLURM job's script, and no task of one of its steps."""
    return "SLURM_JOB_ID" in os.environ and "SLURM_LAUNCH_NODE_IPADDR" not in os.environ


def step_here() -> Step:
    """The step of this process: that of SLURM inside an srun task, else this machine alone."""
    told = os.environ
    if "SLURM_LAUNCH_NODE_IPADDR" not in told:
        return Step()
    return Step(
        int(told.get("SLURM_STEP_NUM_NODES") or told["SLURM_NNODES"]),
        int(told["SLURM_NODEID"]),
        told["SLURM_LAUNCH_NODE_IPADDR"],
        told["SLURM_JOB_ID"],
        told.get("SLURM_STEP_NODELIST", ""),
    )


def check_size(step: Step, nodes: int) -> None:
    """Raises UserError if the step has another number of nodes than was asked for."""
    if step.nodes != nodes:
        where = f"SLURM's step has {step.nodes} ({step.listed})" if step.job else "this is one machine"
        raise UserError(
            f"{nodes} nodes were asked for, but {where}; "
            "set nodes and tasks of the rule together (profiles/README.md)"
        )


def check_devices(gres: str, processes: int) -> None:
    """Raises UserError if GPUs were asked for, or are here, and are fewer than the processes.

    A node whose GPUs cannot be used would otherwise train on its CPUs, for weeks.
    """
    wanted = gres.split(":")[0] == "gpu"
    if not wanted and processes == 1:
        return
    import torch

    seen = torch.cuda.device_count()
    if seen < processes and (wanted or seen):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        raise UserError(
            f"{processes} processes on {_here()} need {processes} GPUs, but torch sees {seen} "
            f"(CUDA_VISIBLE_DEVICES: {visible}); ask for as many, or mend the node's driver"
        )


def roll_call(step: Step, processes: int, seconds: int) -> tuple[Store, list[int]]:
    """Wait until every node of the step is here, or until ``seconds`` have passed.

    Returns the store that they met in, which the first node must hold until the step ends, and the
    missing nodes, the same everywhere. Raises UserError on the first node if some are missing, and
    on any other if the first one does not answer.
    """
    store = _meet(step, seconds)
    store.set(f"here/{step.node}", _here())
    if step.node == 0:
        missing = _missing(store, step.nodes, seconds)
        store.set("missing", " ".join(map(str, missing)))
        if missing:
            raise UserError(_sentence(step, processes, missing, seconds))
        return store, []
    store.wait(["missing"], timedelta(seconds=2 * seconds + 60))
    return store, [int(index) for index in store.get("missing").split()]


def _meet(step: Step, seconds: int) -> Store:
    from torch.distributed import TCPStore

    try:
        return TCPStore(
            step.first,
            step.port,
            is_master=step.node == 0,
            timeout=timedelta(seconds=seconds),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        name = step.names[0]
        if step.node == 0:
            raise UserError(
                f"{name} cannot listen on port {step.port}: another program has it"
            ) from error
        raise UserError(
            f"{_here()} did not reach {name} ({step.first}, port {step.port}) within {seconds} s; "
            "see whether that node runs, and whether a firewall is between them"
        ) from error


def _missing(store: Store, nodes: int, seconds: int) -> list[int]:
    until = time.monotonic() + seconds
    missing = list(range(nodes))
    while missing and time.monotonic() < until:
        missing = [index for index in missing if not store.check([f"here/{index}"])]
        time.sleep(0.05)
    return missing


def _sentence(step: Step, processes: int, missing: list[int], seconds: int) -> str:
    names = step.names
    ranks = [f"{names[i]} ({_ranks(i * processes, processes)})" for i in missing]
    return (
        f"{len(missing)} of {step.nodes} nodes did not start within {seconds} s: {', '.join(ranks)}; "
        "see whether they run, and exclude them with --slurm-exclude-failed-nodes if not"
    )


def _ranks(first: int, count: int) -> str:
    return f"rank {first}" if count == 1 else f"ranks {first} to {first + count - 1}"


def _here() -> str:
    """This node's name, by SLURM or else its own."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
