"""Exit at once when all output is written and closed, without tearing down the interpreter.

Python would first destroy its modules and objects one by one. After an import of torch, this takes up to
a third of a short command's processor time, only to free memory that the system frees anyway.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

UNWRITTEN = 1  # exit code if the output could not be written
EXCEPTION = 1  # Python's exit code after an exception


def run_and_end(main: Callable[[], int]) -> NoReturn:
    """Call ``main`` and end the process with the code that it returns or exits with.

    Threads are joined and `atexit` handlers run as usual; this module's handler is registered before the
    others and therefore runs last. The interpreter shuts down normally if ``main`` raises an exception,
    or if it succeeds and leaves a process group of torch open. After a failure inside a process group,
    the process ends at once: the shutdown might wait for the other processes, which wait for this one.
    """
    codes: list[int] = []
    atexit.register(_leave, codes)
    try:
        codes.append(main())
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            codes.append(stop.code or 0)
        raise
    sys.exit(codes[0])


def _leave(codes: list[int]) -> None:
    code = codes[0] if codes else EXCEPTION  # whose traceback has been written
    normally = code == 0 if _in_process_group() else not codes
    if normally:
        return
    logging.shutdown()
    written = all([_flush(sys.stdout), _flush(sys.stderr)])
    os._exit(code or (0 if written else UNWRITTEN))


def _in_process_group() -> bool:
    distributed = sys.modules.get("torch.distributed")
    return bool(distributed and distributed.is_available() and distributed.is_initialized())


def _flush(stream) -> bool:
    """Flush the stream and return whether this succeeded. Errors are reported, except a closed pipe."""
    try:
        stream.flush()
    except BrokenPipeError:  # the reader has closed it
        return False
    except OSError as error:
        os.write(2, f"nanogen: cannot write {stream.name}: {error.strerror}\n".encode())
        return False
    return True
