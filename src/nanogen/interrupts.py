"""Ctrl-C ends a command without a traceback, whenever it comes.

Python raises KeyboardInterrupt wherever the program is. During an import, it may be lost or reported as
an error of the imported module. A command therefore ends at once by the signal while it starts, and gets
a KeyboardInterrupt, on which it removes its temporary files, only while it runs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def end_at_once() -> None:
    """Have SIGINT end this process, unless the process was started with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt inside the block, and from it.

    The block raises KeyboardInterrupt even if a library has turned it into an error of its own, as
    pydantic does while it builds a model.
    """
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    noted = False

    def interrupt(*_: Any) -> None:
        nonlocal noted
        noted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception:
        if noted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
