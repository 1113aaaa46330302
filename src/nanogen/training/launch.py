"""Start torchrun for one step, with a clean end: no traceback of the launcher for a worker's error.

The same command serves one process on a laptop and several nodes under srun: SLURM's variables, set
inside an srun task, say how many nodes there are and where the first one is.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Sequence

PORT = 29500


def nodes_of_step() -> int:
    """How many nodes run this step: SLURM's word inside an srun task, else one."""
    return int(os.environ["SLURM_NNODES"]) if "SLURM_LAUNCH_NODE_IPADDR" in os.environ else 1


def torchrun_options(processes: int, job: str) -> list[str]:
    """torchrun's options here: standalone on one node, a c10d rendezvous on several."""
    nodes = nodes_of_step()
    if nodes == 1:
        return ["--standalone", f"--nproc-per-node={processes}"]
    first = os.environ["SLURM_LAUNCH_NODE_IPADDR"]
    return [
        f"--nnodes={nodes}",
        f"--nproc-per-node={processes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={os.environ['SLURM_JOB_ID']}-{job}",
        f"--rdzv-endpoint={first}:{PORT}",
    ]


def srun(mpi: str, nodes: int, gres: str, processes: int, command: Sequence[str]) -> list[str]:
    """The command that starts this launcher once on every node of a SLURM job."""
    resources = [f"--gres={gres}"] if gres else []
    return [
        *shlex.split(mpi),
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        *resources,
        sys.executable,
        "-m",
        "nanogen",
        "launch",
        f"--processes={processes}",
        "--",
        *command,
    ]


def launch(processes: int, command: Sequence[str]) -> int:
    """Run ``nanogen <command>`` on every process; returns the first failing exit code.

    One process alone needs no torchrun, which would import torch a second time: it runs here.
    """
    # One thread per process unless told otherwise: torchrun would set this, with a warning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if processes == nodes_of_step() == 1:
        from nanogen.cli import main

        return main(list(command))
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # The worker has already said what was wrong; torch's own report adds nothing to that.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    arguments = [*torchrun_options(processes, command[0]), "-m", "nanogen", *command]
    try:
        run.run(run.parse_args(arguments))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException:
        return 130
    return 0
