"""A process that lost the others: a node without power, a killed worker. One sentence says so."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from nanogen.errors import UserError

# What the backends say when the other end of a connection is gone. Neither has a type for it.
SIGNS = ("Connection reset by peer", "Connection closed by peer", "Broken pipe", "remote process exited")


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
