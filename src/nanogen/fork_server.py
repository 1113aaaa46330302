"""Server that imports the heavy libraries once and forks one child per command of a study.

Importing torch, transformers and diffusers takes longer than the work of many commands of a small study.
While Snakemake runs on one machine without an accelerator, this server imports them once, and `nanogen
COMMAND` becomes its client (`nanogen.fork_client`). The server ends when Snakemake has ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nanogen.fork_client import NUMBER, ONE_THREAD, SOCKET, Request, received
from nanogen.hidden import hidden_folder
from nanogen.interrupts import end_at_once

LIBRARIES = (
    "torch._dynamo",
    "h5py",
    "matplotlib.pyplot",
    "scipy.stats",
    "timm",
    "transformers.models.blip.modeling_blip",
    "transformers.models.dinov2_with_registers.modeling_dinov2_with_registers",
    "transformers.models.qwen3.modeling_qwen3",
    "diffusers.models.autoencoders.autoencoder_kl",
)

Job = tuple[Request, list[int]]  # with the files that become file descriptors 0, 1 and 2


def start(python_path: str) -> None:
    """Start the server for the children of this process, if forks are safe.

    No server is started on a machine with an accelerator, since a fork of a process that has looked for
    an accelerator cannot use it. The same holds if Python cannot watch another process
    (``os.pidfd_open``). Each command then runs in its own process.

    Args:
        python_path: PYTHONPATH of the clients.
    """
    accelerated = any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))
    if accelerated or not hasattr(os, "pidfd_open"):
        return
    address = hidden_folder(Path(tempfile.gettempdir(), "nanogen")) / "socket"
    atexit.register(shutil.rmtree, address.parent, ignore_errors=True)  # in case the server is killed
    subprocess.Popen(
        [sys.executable, "-m", "nanogen.fork_server", str(address), str(os.getpid())],
        env=os.environ | ONE_THREAD | {"PYTHONPATH": python_path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a fork gets the terminal's signals from its client
    )
    os.environ[SOCKET] = str(address)


class Server:
    """Server that listens until its owner and all of its forks have ended.

    A connection stays open until its fork has ended.

    Args:
        address: path of the socket.
        owner: file descriptor (pidfd) of the process that the server ends with.
        environment: environment in which the libraries were imported.
    """

    def __init__(self, address: Path, owner: int, environment: Mapping[str, str]):
        self.environment = environment
        self.owner = owner
        self.woken, self.waker = socket.socketpair()  # woken becomes readable when a child ends
        for end in (self.woken, self.waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.forks: dict[int, socket.socket] = {}
        # Renamed once it listens: a client that connects earlier runs the command itself.
        hidden = address.with_suffix(".new")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(hidden))
        self.listener.listen(128)
        hidden.rename(address)

    def serve(self) -> Job | None:
        """Serve requests. Returns the job to run in each fork, and None in the server at its end.

        The server ends when its owner and all of its forks have ended.
        """
        while True:
            connections = self.forks.values()
            watched: list[int | socket.socket] = [self.owner, self.woken, self.listener, *connections]
            ready, _, _ = select.select(watched, [], [])
            self._reap()
            self._kill_orphans(ready)
            if self.listener in ready and (job := self._accept()):
                return job
            if self.owner in ready and not self.forks:
                return None

    def _reap(self) -> None:
        """Send the exit status of each fork that has ended to its client."""
        with suppress(BlockingIOError):
            self.woken.recv(4096)
        for child in list(self.forks):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                with self.forks.pop(child) as connection, suppress(OSError):
                    connection.sendall(status.to_bytes(NUMBER))

    def _kill_orphans(self, ready: Sequence[Any]) -> None:
        """Kill the forks whose clients have ended.

        A client sends nothing after its request, so a readable connection means that it has ended.
        """
        for child, connection in self.forks.items():
            if connection in ready:
                os.kill(child, signal.SIGKILL)

    def _accept(self) -> Job | None:
        """Accept a request and fork. Returns the job to run in the fork, and None in the server."""
        connection, _ = self.listener.accept()
        files: list[int] = []
        child = 0
        try:
            size, files, _, _ = socket.recv_fds(connection, NUMBER, 3)
            request = Request(**json.loads(received(connection, int.from_bytes(size))))
            if request.fits(self.environment):
                child = os.fork()
                if not child:
                    self._leave(connection)
                    return request, files
                self.forks[child] = connection
            connection.sendall(child.to_bytes(NUMBER))
        except (OSError, ValueError, TypeError):  # the client has ended, or is not a client
            pass
        for file in files:
            os.close(file)
        if not child:
            connection.close()
        return None

    def _leave(self, connection: socket.socket) -> None:
        """Separate a fork from the server: reset signals and close the fork's copies of its sockets."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for opened in (self.listener, self.woken, self.waker, connection, *self.forks.values()):
            opened.close()
        os.close(self.owner)


def main() -> None:
    """Run the server; in its forks, run the requested command."""
    address = Path(sys.argv[1])
    try:
        owner = os.pidfd_open(int(sys.argv[2]))  # before the imports, during which the owner may end
    except ProcessLookupError:
        shutil.rmtree(address.parent, ignore_errors=True)
        return
    end_at_once()  # inherited by the forks, in which the handler of Python could lose a signal
    environment = dict(os.environ)  # copied before the imports: some libraries change it
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()  # so that a fork's garbage collection does not copy the libraries' memory
    job = Server(address, owner, environment).serve() if _alone() else None
    if job is None:
        shutil.rmtree(address.parent, ignore_errors=True)
        return
    request, files = job
    request.become(files)
    from nanogen.__main__ import run

    run()


def _alone() -> bool:
    """Return whether this process has a single thread, so that it can be forked.

    A forked child has only the calling thread, so a lock held by another thread is never released.
    """
    return len(os.listdir("/proc/self/task")) == 1


if __name__ == "__main__":
    main()
