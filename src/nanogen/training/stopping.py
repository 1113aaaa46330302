"""A training that is asked to stop saves first."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; its state is saved and the same command continues it."""


class StopRequest:
    """Notes SIGINT and SIGTERM, so that the loop saves before it ends."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not in the main thread: nothing to catch
                signal.signal(number, self._note)

    def _note(self, *_: Any) -> None:
        self.asked = True
