"""Prepare batches in a thread while a step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Made = TypeVar("Made")


def prefetched(make: Callable[[int], Made], steps: range) -> Iterator[Made]:
    """Yield ``make(step)`` for every step in order; a thread prepares up to two in advance.

    Exceptions in the thread are raised here.
    """
    ready: queue.Queue[Made | BaseException] = queue.Queue(maxsize=2)

    def work() -> None:
        try:
            for step in steps:
                ready.put(make(step))
        except BaseException as error:  # raised in the consumer
            ready.put(error)

    threading.Thread(target=work, daemon=True).start()
    for _ in steps:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        yield item
