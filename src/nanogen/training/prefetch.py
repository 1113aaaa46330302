"""Batches made ahead by a thread while a step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Made = TypeVar("Made")


def prefetched(make: Callable[[int], Made], steps: range) -> Iterator[Made]:
    """``make(step)`` of every step in order, two ahead, by a thread; its errors are raised here."""
    ready: queue.Queue[Made | BaseException] = queue.Queue(maxsize=2)

    def work() -> None:
        try:
            for step in steps:
                ready.put(make(step))
        except BaseException as error:  # handed to the consumer
            ready.put(error)

    threading.Thread(target=work, daemon=True).start()
    for _ in steps:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        yield item
