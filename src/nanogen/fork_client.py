"""Run a command in a fork of the fork server, which has already imported the libraries.

The client passes its arguments, environment and open files to the server (`nanogen.fork_server`). The
server forks, and the client waits for the fork's exit code. Signals that would end the client are passed
on to the fork, and the fork does not outlive the client. If no server is running, or if it was started
under different conditions, the command runs in its own process as usual.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

SOCKET = "NANOGEN_FORK_SERVER"  # the environment variable with the server's address
# Libraries whose variables ``<LIBRARY>_NUM_THREADS`` Snakemake sets to a job's number of threads.
THREADS = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in THREADS} | {"VECLIB_MAXIMUM_THREADS": "1"}
# Prefixes of the variables that Python and the libraries read at import, and of a batch system's.
READ_AT_IMPORT = (
    *(f"{library}_" for library in THREADS),
    "CUDA",
    "DIFFUSERS_",
    "HF_",
    "LD_",
    "MPL",
    "PYTHON",
    "PYTORCH",
    "SLURM_",
    "TORCH",
    "TRANSFORMERS_",
)
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
NUMBER = 4  # bytes of an integer in a message
DIED = 1  # exit code if the server ended before its fork


@dataclass(frozen=True)
class Request:
    """The command that a client wants to run, and the conditions that must match those of the server."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    prefix: str  # sys.prefix of the client's Python
    umask: int

    @classmethod
    def of_this_process(cls, arguments: Sequence[str]) -> Request:
        umask = os.umask(0)
        os.umask(umask)
        return cls(list(arguments), os.getcwd(), dict(os.environ), sys.prefix, umask)

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return whether this request's process would import the same as one with ``environment``."""
        same = read_at_import(self.environment) == read_at_import(environment)
        return same and self.prefix == sys.prefix

    def become(self, files: Sequence[int]) -> None:
        """Turn this process into the requested one; ``files`` become file descriptors 0, 1 and 2."""
        for wanted, given in enumerate(files):
            os.dup2(given, wanted)
            os.close(given)
        # Opened in the same way as at the start of Python.
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
        os.chdir(self.folder)
        os.umask(self.umask)
        os.environ.clear()
        os.environ.update(self.environment)
        tempfile.tempdir = None  # tempfile reads the environment only once
        sys.argv = ["nanogen", *self.arguments]


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def run_forked(arguments: Sequence[str]) -> None:
    """Run `nanogen` with ``arguments`` in a fork of the server, and exit as the fork exits.

    Returns if no suitable server is running.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    with socket.socket(socket.AF_UNIX) as server:
        child = _ask(server, Request.of_this_process(arguments))
        if not child:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            return
        woken = _pass_on_signals(child)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        while server not in select.select([server, woken], [], [])[0]:
            woken.recv(NUMBER)
        _end_as(received(server, NUMBER), child)


def _ask(server: socket.socket, request: Request) -> int:
    """Send the request. Returns the process id of the fork, or 0 if there is none."""
    message = json.dumps(vars(request)).encode()
    try:
        server.connect(os.environ[SOCKET])
        socket.send_fds(server, [len(message).to_bytes(NUMBER)], [0, 1, 2])
        server.sendall(message)
        return int.from_bytes(received(server, NUMBER))
    except OSError:
        return 0


def _pass_on_signals(child: int) -> socket.socket:
    """Pass signals on to ``child``. The returned socket becomes readable when there is one.

    Waiting for it as well keeps a signal that comes just before the wait from being handled after it.
    """

    def pass_on(number: int, _: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.detach())
    return woken


def _end_as(status: bytes, child: int) -> NoReturn:
    """End with the fork's exit code, or by the signal that ended it."""
    if not status:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.write(2, b"nanogen: the fork server was killed; run the command again\n")
        os._exit(DIED)
    code = os.waitstatus_to_exitcode(int.from_bytes(status))
    if code < 0:
        with suppress(OSError):  # the signal cannot be caught
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def received(connection: socket.socket, count: int) -> bytes:
    """Receive ``count`` bytes; empty if the other side ended first."""
    parts = b""
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            return b""
        parts += part
    return parts
