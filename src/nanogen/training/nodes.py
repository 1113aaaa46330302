"""The nodes that run one step together: read them from SLURM, and check that all have started."""

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

FIRST_PORT, PORTS = 20000, 12000  # below the range of ephemeral ports


@dataclass(frozen=True)
class Step:
    """This node among those of the step.

    Attributes:
        nodes: the number of nodes.
        node: the index of this node, from 0.
        first: the name or address at which the others reach node 0.
        job: the ID of the SLURM job; empty without SLURM.
        listed: SLURM's list of the nodes, for example ``c[1-4]``; empty without SLURM.
    """

    nodes: int = 1
    node: int = 0
    first: str = "127.0.0.1"
    job: str = ""
    listed: str = ""

    @property
    def port(self) -> int:
        """The port of node 0 that nodes report to; torchrun uses the next one. It depends on the job."""
        return FIRST_PORT + 2 * (int(self.job or 0) % (PORTS // 2))

    @property
    def names(self) -> list[str]:
        """The names of the nodes in order, or their indices if SLURM does not provide names."""
        found = _names(self.listed)
        return found if len(found) == self.nodes else [f"node {index}" for index in range(self.nodes)]


def _names(listed: str) -> list[str]:
    """Return the names of the nodes in SLURM's list; none if its program cannot tell."""
    with suppress(OSError, subprocess.SubprocessError):
        words = ["scontrol", "show", "hostnames", listed]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return []


def in_job() -> bool:
    """Whether this process is the script of a SLURM job, and not a task of one of its steps."""
    return "SLURM_JOB_ID" in os.environ and "SLURM_LAUNCH_NODE_IPADDR" not in os.environ


def step_here() -> Step:
    """Return the step of this process: SLURM's inside an srun task, otherwise this machine alone."""
    variables = os.environ
    if "SLURM_LAUNCH_NODE_IPADDR" not in variables:
        return Step()
    nodes = int(variables.get("SLURM_STEP_NUM_NODES") or variables["SLURM_NNODES"])
    first, listed = variables["SLURM_LAUNCH_NODE_IPADDR"], variables.get("SLURM_STEP_NODELIST", "")
    if nodes > 1:
        first = _first(listed, first)
    return Step(nodes, int(variables["SLURM_NODEID"]), first, variables["SLURM_JOB_ID"], listed)


def _first(listed: str, launched_from: str) -> str:
    """Return the name of the first node in SLURM's list, or ``launched_from`` if it does not resolve.

    That is the address of the node where srun was started: node 0 if a job's script started it, but the
    login node if a user did so inside an allocation.
    """
    for name in _names(listed)[:1]:
        with suppress(OSError):
            socket.getaddrinfo(name, None)
            return name
    return launched_from


def check_size(step: Step, nodes: int) -> None:
    """Raise UserError if the number of nodes of the step is not the requested one."""
    if step.nodes != nodes:
        where = f"SLURM's step has {step.nodes} ({step.listed})" if step.job else "this is one machine"
        raise UserError(
            f"{nodes} nodes were asked for, but {where}; "
            "set nodes and tasks of the rule together (profiles/README.md)"
        )


def check_devices(gres: str, processes: int) -> None:
    """Raise UserError if GPUs were requested or are present, but are fewer than the processes.

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
            f"(CUDA_VISIBLE_DEVICES: {visible}); request as many, or repair the driver of the node"
        )


def roll_call(step: Step, processes: int, seconds: int) -> tuple[Store, list[int]]:
    """Wait until every node of the step has started, or until ``seconds`` have passed.

    Returns the store that the nodes report to, which the first node must keep until the step ends, and
    the indices of the missing nodes, the same on every node.

    Raises:
        UserError: on the first node, if nodes are missing or its port is taken; on any other node, if
            the first one does not answer.
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
                f"{name} cannot listen on port {step.port}: another program uses it"
            ) from error
        at = f"port {step.port}" if name == step.first else f"{step.first}, port {step.port}"
        raise UserError(
            f"{_here()} did not reach {name} ({at}) within {seconds} s; "
            "check whether that node runs, and whether a firewall is between them"
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
        "check whether they run, and exclude them with --slurm-exclude-failed-nodes if not"
    )


def _ranks(first: int, count: int) -> str:
    return f"rank {first}" if count == 1 else f"ranks {first} to {first + count - 1}"


def _here() -> str:
    """Return the name of this node: SLURM's, or else the host name."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
