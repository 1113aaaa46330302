"""Processes and devices: what torchrun started, and nothing about methods."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nanogen.errors import UserError
from nanogen.files import folder_beside
from nanogen.training.heap import keep_in_large_pages

# What the backends say when the other end of a connection is gone. Neither has a type for it.
SIGNS = ("Connection reset by peer", "Connection closed by peer", "Broken pipe", "remote process exited")


@dataclass(frozen=True)
class Processes:
    """This process among its peers."""

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
        """True on all processes if ``flag`` is true on one, so that all act at the same step."""
        return bool(self.largest(int(flag)))

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers, on each of them."""
        if self.world == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value.item())

    def mean(self, value: Tensor) -> Tensor:
        """The average of a scalar over all processes, on each of them, without its gradient."""
        value = value.detach().clone()
        if self.world > 1:
            dist.all_reduce(value)
        return value / self.world

    def means(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The averages of named scalars over all processes, in one exchange.

        All processes give the same names in the same order; scalars of several types are averaged in
        the most precise.
        """
        if self.world == 1:
            return {name: value.detach() for name, value in values.items()}
        found = self.mean(torch.stack(list(values.values())))
        return dict(zip(values, found, strict=True))

    def gathered(self, value: Any) -> list[Any]:
        """What every process holds, in the order of their ranks, on the main one; nothing elsewhere."""
        if self.world == 1:
            return [value]
        found = [None] * self.world if self.main else None
        dist.gather_object(value, found)
        return found or []

    def shared(self, value: Any) -> Any:
        """What the main process holds, on each of them."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held)
        return held[0]

    @contextmanager
    def folder_beside(self, path: Path) -> Iterator[Path]:
        """Yield a hidden folder beside ``path`` that is the same on all; the main process makes it, and
        removes it when its block ends. Raises UserError where it cannot."""
        with folder_beside(path) if self.main else nullcontext() as folder:
            yield self.shared(folder)


def share(count: int, rank: int, world: int, block: int = 1) -> tuple[int, int]:
    """From where to where a process takes of ``count`` rows.

    Shares follow each other, differ by one block at most and are cut at multiples of ``block``. The
    first share is never empty.
    """
    blocks = -(-count // block)
    start, stop = (-(-blocks * part // world) * block for part in (rank, rank + 1))
    return min(start, count), min(stop, count)


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the group that torchrun made: nccl on GPUs, gloo on CPUs; alone without torchrun.

    Raises UserError where another process is gone.
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
        dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    try:
        with lost_peers_explained(rank, world):
            yield Processes(rank, world, device)
    finally:
        if world > 1:
            dist.destroy_process_group()


@contextmanager
def lost_peers_explained(rank: int, world: int) -> Iterator[None]:
    """Within, an error of the connection to another of the ``world`` processes becomes a UserError."""
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
