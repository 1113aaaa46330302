"""Start torchrun for one step. If a worker fails, the launcher does not print another traceback.

The same command works for one process on a laptop and for several nodes under srun. Inside an srun task,
SLURM's environment variables contain the number of nodes and their names.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nanogen.errors import UserError
from nanogen.training.nodes import Step, check_devices, check_size, roll_call, step_here
from nanogen.training.stopping import LAUNCHER

WAIT = 300  # seconds for all nodes to start: importing torch from a busy network disk is slow
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def torchrun_options(step: Step, processes: int) -> list[str]:
    """Return torchrun's options: standalone on one node; on several, ranks follow the node order."""
    if step.nodes == 1:
        # By default, torchrun looks up this machine's name, which may not resolve.
        return [
            "--rdzv-backend=c10d",
            "--rdzv-endpoint=127.0.0.1:0",
            "--local-addr=127.0.0.1",
            f"--nproc-per-node={processes}",
        ]
    return [
        f"--nnodes={step.nodes}",
        f"--nproc-per-node={processes}",
        f"--node-rank={step.node}",
        f"--master-addr={step.first}",
        f"--master-port={step.port + 1}",
    ]


def srun(
    mpi: str, nodes: int, gres: str, processes: int, command: Sequence[str], wait: int = WAIT
) -> list[str]:
    """Return the command that starts this launcher once on every node of a SLURM job.

    Processes are not bound to cores of a node. A node that fails ends the others, which would otherwise
    wait for it. The arguments are those of `run_on_nodes`.
    """
    resources = [f"--gres={gres}"] if gres else []
    return [
        *shlex.split(mpi),
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        "--cpu-bind=none",
        "--kill-on-bad-exit=1",
        *resources,
        sys.executable,
        "-m",
        "nanogen",
        "launch",
        f"--nodes={nodes}",
        f"--gres={gres}",
        f"--processes={processes}",
        f"--wait={wait}",
        "--",
        *command,
    ]


def run_on_nodes(
    mpi: str, nodes: int, gres: str, processes: int, command: Sequence[str], wait: int = WAIT
) -> int:
    """Start ``nanogen <command>`` on the nodes of this SLURM job.

    Args:
        mpi: the srun command with its options.
        nodes: the number of nodes.
        gres: the GPUs of each node, as srun's option ``--gres`` takes them; empty for none.
        processes: the number of processes on each node.
        command: the words after ``nanogen``.
        wait: seconds until all nodes must have started.

    Returns:
        The exit code of srun; 128 plus the signal's number if a signal ended it.

    Raises:
        UserError: srun is not installed.
    """
    words = srun(mpi, nodes, gres, processes, command, wait)
    try:
        with passing_on_signals():
            code = subprocess.call(words)
    except FileNotFoundError as error:
        raise UserError(
            f"{words[0]} is not on this machine, but the rule's resource mpi asks for it; "
            "leave mpi out of the profile where there is no SLURM"
        ) from error
    return code if code >= 0 else 128 - code


def launch(
    processes: int,
    command: Sequence[str],
    here: Callable[[list[str]], int],
    nodes: int = 1,
    gres: str = "",
    wait: int = WAIT,
) -> int:
    """Run ``nanogen <command>`` in every process of every node.

    A single process runs without torchrun, which would import torch a second time.

    Args:
        processes: the number of processes on each node.
        command: the words after ``nanogen``.
        here: runs a command in this process and returns its exit code.
        nodes: the number of nodes.
        gres: the GPUs that each node must have, as srun's option ``--gres`` takes them.
        wait: seconds until all nodes must have started.

    Returns:
        The exit code of the first process that failed, or 0.

    Raises:
        UserError: nodes or GPUs are missing.
    """
    # One thread per process unless the user sets it: torchrun would set this, with a warning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    step = step_here()
    check_size(step, nodes)
    check_devices(gres, processes)
    if processes == nodes == 1:
        return here(list(command))
    # The first node keeps the store until the step ends, so that all others can read it.
    _store, missing = roll_call(step, processes, wait) if nodes > 1 else (None, [])
    return 2 if missing else _torchrun(step, processes, command)


def _torchrun(step: Step, processes: int, command: Sequence[str]) -> int:
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # The worker has already printed its error; torch's report adds nothing.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    # torchrun handles these signals only: it ends workers after 30 s, but saving may take longer.
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGHUP,SIGQUIT"
    if step.nodes == 1 and Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # otherwise gloo looks up the host name
    os.environ[LAUNCHER] = str(os.getpid())
    arguments = [*torchrun_options(step, processes), "-m", "nanogen", *command]
    try:
        with passing_on_signals():
            run.run(run.parse_args(arguments))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + error.sigval
    return 0


@contextmanager
def passing_on_signals() -> Iterator[None]:
    """Pass stop signals on to the child processes, and let this process wait for them to end.

    If there is no child, this process exits immediately with ``os._exit``: an exception raised in a
    signal handler may occur inside a finaliser, where Python would print and ignore it.
    """

    def pass_on(number: int, _: Any) -> None:
        children = _children()
        if not children:
            sys.stderr.flush()
            os._exit(128 + number)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _children() -> list[int]:
    """Return the process IDs of the children of all threads of this process."""
    files = Path("/proc/self/task").glob("*/children")
    return [int(word) for file in files for word in file.read_text().split()]
