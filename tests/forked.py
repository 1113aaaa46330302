"""Trainings in processes that are forked from one that has imported torch, as the import takes seconds.

Run as a program, this module reads one JSON job per line of stdin and answers with the exit codes of
the job's processes. These have the environment variables that torchrun sets and run the real `nanogen`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

# The modules that a training imports, imported once for all jobs (torch._dynamo by the optimizers).
IMPORTED = ("torch", "torch._dynamo", "torch.distributed.fsdp", "nanogen.cli.train")
IMPORTED += ("nanogen.stage2.loop", "nanogen.stage2.dataset", "nanogen.training.sharding")


class Forks:
    """The running program, as a context manager."""

    def __enter__(self) -> Forks:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.program = subprocess.Popen([sys.executable, __file__], text=True, **pipes)
        return self

    def __exit__(self, *_: object) -> None:
        self.program.communicate(timeout=60)

    def run(
        self,
        words: list[str],
        log: Path,
        processes: int = 1,
        kill: tuple[Path, int, float] | None = None,
    ) -> list[int]:
        """Run ``nanogen`` with these arguments and return the exit codes of its processes.

        If the first argument is MODULE:FUNCTION, that function is called with the others instead and
        returns the exit code. Both output streams are appended to ``log``.

        ``kill`` is (file, lines, seconds): the processes are killed that many seconds after the file has
        that many lines. An exit code is then the signal's number, negated.
        """
        job = {"words": words, "log": str(log), "processes": processes, "kill": kill}
        print(json.dumps(job, default=str), file=self.program.stdin, flush=True)
        return json.loads(self.program.stdout.readline())


def _child(job: dict[str, Any], rank: int, port: int, group: int) -> None:
    from nanogen.cli import main

    os.setpgid(0, group)
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job["processes"]}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    log = os.open(job["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        module, _, name = job["words"][0].partition(":")
        code = getattr(import_module(module), name)(*job["words"][1:]) if name else main(job["words"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _start(job: dict[str, Any]) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children: list[int] = []
    for rank in range(job["processes"]):
        group = children[0] if children else 0
        child = os.fork()
        if not child:
            _child(job, rank, port, group)
        os.setpgid(child, group or child)
        children.append(child)
    return children


def _kill(children: list[int], file: str, lines: int, seconds: float) -> None:
    def written() -> int:
        return Path(file).read_bytes().count(b"\n") if Path(file).exists() else 0

    while written() < lines and not os.waitid(
        os.P_PID, children[0], os.WEXITED | os.WNOHANG | os.WNOWAIT
    ):
        time.sleep(0.001)
    time.sleep(seconds)
    os.killpg(children[0], signal.SIGKILL)


def _serve() -> None:
    for module in IMPORTED:
        import_module(module)
    for line in sys.stdin:
        job = json.loads(line)
        children = _start(job)
        if job["kill"]:
            _kill(children, *job["kill"])
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.write(f"{json.dumps(codes)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
