"""Prepare batches in a thread while a step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


def prefetched(make: Callable[[int], Made], steps: range, device: torch.device) -> Iterator[Made]:
    """Yield ``make(step)`` for every step in order; a thread prepares up to two in advance.

    On a GPU, the thread's copies and networks are on a stream of their own, beside the steps'. ``Made``
    is a dataclass, whose tensors and dataclasses of tensors the steps use.

    Exceptions in the thread are raised here.
    """
    streams: Any = torch.get_device_module(device)  # on a CPU, all work is done in order
    stream = streams.Stream()
    stream.wait_stream(streams.current_stream())  # which still copies weights that ``make`` may use
    ready: queue.Queue[tuple[Made, Any] | BaseException] = queue.Queue(maxsize=2)

    def work() -> None:
        try:
            with streams.stream(stream):
                for step in steps:
                    ready.put((make(step), stream.record_event()))
        except BaseException as error:  # raised in the consumer
            ready.put(error)

    threading.Thread(target=work, daemon=True).start()
    for _ in steps:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        made, done = item
        streams.current_stream().wait_event(done)
        for tensor in _tensors(made):
            if not tensor.is_cpu:  # its memory is not used again before the steps have read it
                tensor.record_stream(streams.current_stream())
        yield made


def _tensors(made: Any) -> Iterator[Tensor]:
    if isinstance(made, Tensor):
        yield made
    elif is_dataclass(made):
        for field in fields(made):
            yield from _tensors(getattr(made, field.name))
