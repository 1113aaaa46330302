"""Start torchrun for one step, with a clean end: no traceback of the launcher for a worker's error.

The same command serves one process on a laptop and several nodes under srun: SLURM's variables, set
inside an srun task, say how many nodes there are and where the first one is.
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

WAIT = 300  # seconds for all nodes of a step to start: Python and torch from a busy network disk
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def torchrun_options(step: Step, processes: int) -> list[str]:
    """torchrun's options here: standalone on one node; on several, ranks in the order of the nodes."""
    if step.nodes == 1:
        # torchrun would look up this machine's name, which need not be known to anything.
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
    """The command that starts this launcher once on every node of a SLURM job.

    The processes of a node share its cores as they like; a node that fails ends the others, which
    would wait for it.
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
    """Start ``nanogen <command>`` on the nodes of this SLURM job; returns srun's exit code."""
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
    """Run ``nanogen <command>`` on every process of every node; returns the first failing exit code.

    ``processes`` are those of one node; ``gres`` are the GPUs that each node must have; ``here`` is the
    program itself, which runs a command in this process and returns its exit code. Raises UserError if
    nodes or GPUs are missing, at the latest after ``wait`` seconds. One process alone needs no torchrun,
    which would import torch a second time: it runs here.
    """
    # One thread per process unless told otherwise: torchrun would set this, with a warning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    step = step_here()
    check_size(step, nodes)
    check_devices(gres, processes)
    if processes == nodes == 1:
        return here(list(command))
    # The first node holds the store until the step ends, so that all others have read it.
    _store, missing = roll_call(step, processes, wait) if nodes > 1 else (None, [])
    return 2 if missing else _torchrun(step, processes, command)


def _torchrun(step: Step, processes: int, command: Sequence[str]) -> int:
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # The worker has already said what was wrong; torch's own report adds nothing to that.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    # Of the other signals torchrun would end the workers after 30 s; they may need longer to save.
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGHUP,SIGQUIT"
    if step.nodes == 1 and Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else it looks up this machine's name
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
    """Within, a request to stop goes to the child processes, and this one waits for them to end.

    Without a child, before the first or after the last, it ends at once and by itself: an exception
    raised here may land in a finaliser, where Python would print it and go on.
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
    """Process ids of this process's children, of all its threads."""
    files = Path("/proc/self/task").glob("*/children")
    return [int(word) for file in files for word in file.read_text().split()]
