"""The processes that torchrun started, and their devices."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nanogen.errors import UserError
from nanogen.files import folder_beside
from nanogen.training.heap import keep_in_large_pages
from nanogen.training.stopping import stop_with_launcher

# How long a process waits for the others. The main one works alone while it evaluates, writes a
# checkpoint or joins samples, which may take longer than NCCL's default of 10 minutes. The loss of a
# process is noticed without this: by its connections, torchrun or SLURM.
PATIENCE = timedelta(hours=2)
# Messages of the backends when a connection is lost. Neither has an exception type for it.
SIGNS = ("Connection reset by peer", "Connection closed by peer", "Broken pipe", "remote process exited")


@dataclass(frozen=True)
class Processes:
    """This process and its group.

    Attributes:
        rank: the rank of this process, from 0.
        world: the number of processes.
        device: the device of this process.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true on any process, so that all act at the same step."""
        return bool(self.largest(int(flag)))

    def largest(self, number: int) -> int:
        """Return the largest number of all processes, on each of them."""
        if self.world == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value.item())

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a scalar over all processes, on each of them, detached."""
        value = value.detach().clone()
        if self.world > 1:
            dist.all_reduce(value)
        return value / self.world

    def means(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the means of named scalars over all processes, with one communication.

        All processes must pass the same names in the same order. Scalars of several data types are
        averaged in the most precise one.
        """
        if self.world == 1:
            return {name: value.detach() for name, value in values.items()}
        found = self.mean(torch.stack(list(values.values())))
        return dict(zip(values, found, strict=True))

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all processes by rank on the main process, and nothing on the others."""
        if self.world == 1:
            return [value]
        found = [None] * self.world if self.main else None
        dist.gather_object(value, found)
        return found or []

    def shared(self, value: Any) -> Any:
        """Return the value of the main process on every process."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held)
        return held[0]

    @contextmanager
    def folder_beside(self, path: Path) -> Iterator[Path]:
        """Yield a hidden folder next to ``path`` that is the same on all processes.

        The main process makes it, and removes it when its block ends. Raises UserError if it cannot.
        """
        with folder_beside(path) if self.main else nullcontext() as folder:
            yield self.shared(folder)


def share(count: int, rank: int, world: int, block: int = 1) -> tuple[int, int]:
    """Return the start and stop of a process's share of ``count`` rows.

    Shares are consecutive, differ by at most one block, and begin at multiples of ``block``. The first
    share is never empty.
    """
    blocks = -(-count // block)
    start, stop = (-(-blocks * part // world) * block for part in (rank, rank + 1))
    return min(start, count), min(stop, count)


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the process group that torchrun started, with NCCL on GPUs and Gloo on CPUs.

    Without torchrun the process is alone. After an exception, a group of NCCL stays open until the
    process ends (`nanogen.ending`). Raises UserError if another process is lost.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    )
    if cuda:
        torch.cuda.set_device(device)
    else:
        keep_in_large_pages()
    if world > 1:
        stop_with_launcher()
        dist.init_process_group(
            "nccl" if cuda else "gloo", timeout=PATIENCE, device_id=device if cuda else None
        )
        dist.barrier()  # a process that failed at once would cut the connections that others still make
    failed = True
    try:
        with lost_peers_explained(rank, world):
            yield Processes(rank, world, device)
        failed = False
    finally:
        # NCCL's group waits here for the other processes, which wait for this one if it failed alone.
        if world > 1 and not (failed and dist.get_backend() == "nccl"):
            dist.destroy_process_group()


@contextmanager
def lost_peers_explained(rank: int, world: int) -> Iterator[None]:
    """Raise UserError instead of a connection error if another of the ``world`` processes is lost."""
    try:
        yield
    except RuntimeError as error:
        if world == 1 or not any(sign in str(error) for sign in SIGNS):
            raise
        here = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        raise UserError(
            f"rank {rank} on {here} lost another of the {world} processes: its node failed or it was "
            "ended; the same command continues from the last checkpoint"
        ) from error
