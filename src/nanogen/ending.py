"""How a process ends: at once, when everything is written and closed.

Python would take its modules and objects down one by one first. After an import of torch that is up to a
third of a short command's processor time, for memory that the system frees anyway.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

UNWRITTEN = 1  # exit code where the output could not be written


def run_and_end(main: Callable[[], int]) -> NoReturn:
    """Call ``main`` and end the process with the code that it returns or exits with.

    Threads are waited for, and whatever is registered with `atexit` runs first: this module's own is
    registered before the others and so comes last. An exception that ``main`` lets out ends the process
    as it always does, and so does a process group of torch that is still open.
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
    if not codes or _in_process_group():
        return
    logging.shutdown()
    written = all([_flush(sys.stdout), _flush(sys.stderr)])
    os._exit(codes[0] or (0 if written else UNWRITTEN))


def _in_process_group() -> bool:
    distributed = sys.modules.get("torch.distributed")
    return bool(distributed and distributed.is_available() and distributed.is_initialized())


def _flush(stream) -> bool:
    """Flush the stream. Returns whether that succeeded; a failure is reported."""
    try:
        stream.flush()
    except BrokenPipeError:  # who read it has seen enough
        return False
    except OSError as error:
        os.write(2, f"nanogen: cannot write {stream.name}: {error.strerror}\n".encode())
        return False
    return True
