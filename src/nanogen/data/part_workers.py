"""Import the parts of a source in several processes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from nanogen.data.parts import Finished, finish
from nanogen.data.source import Part
from nanogen.errors import UserError
from nanogen.text import log_to_terminal, one_line

log = logging.getLogger(__name__)


def cores() -> int:
    """Return the number of cores that this process may use; OMP_NUM_THREADS is respected."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")  # Snakemake sets it to a rule's threads
    return min(there, int(given)) if given.isdecimal() and int(given) else there


def finished(
    parts: Sequence[Part], folder: Path, side: int | None, most: int, workers: int
) -> list[Finished]:
    """Import parts in order until they have ``most`` examples in total, and return them.

    After an error, no other part is started, and the UserError is raised when those in progress end.
    """
    from tqdm import tqdm

    found: list[Finished] = []
    rows = 0
    with closing(_results(parts, folder, side, min(workers, len(parts)))) as results:
        for each in tqdm(results, total=len(parts), unit="part", disable=not sys.stderr.isatty()):
            found.append(each)
            rows += each.rows
            if each.unreadable:
                _, name, reason = each.unreadable[0]
                others = f", and {len(each.unreadable) - 1} more" if len(each.unreadable) > 1 else ""
                log.info("unreadable: %s (%s)%s", one_line(name), one_line(reason), others)
            if rows >= most:
                break
    return found


def _results(parts: Sequence[Part], folder: Path, side: int | None, workers: int) -> Generator[Finished]:
    """Yield the parts in order, each when it and those before it are finished."""
    if workers <= 1:
        yield from (finish(part, folder, side) for part in parts)
        return
    with _pool(workers) as pool:
        begun = (pool.submit(finish, part, folder, side) for part in parts)
        pending = deque(islice(begun, 2 * workers))
        while pending:
            yield _result(pending)
            pending.extend(islice(begun, 1))


def _result(pending: deque[Future[Finished]]) -> Finished:
    try:
        return pending.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process of the import was killed, perhaps for lack of memory; start again, with fewer "
            "--workers if it happens twice (finished parts are kept)"
        ) from error
    except UserError:
        for future in pending:  # parts in progress are finished, others are not started
            future.cancel()
        for future in pending:
            if not future.cancelled():
                future.exception()
        raise


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end whenever this one does: they wait on a pipe whose other end it holds."""
    context = get_context("spawn")
    ended, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _begin, (ended,))
    try:
        yield pool
    except BaseException as error:
        if not isinstance(error, UserError):
            alive.close()  # do not wait for parts in progress
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        alive.close()
        ended.close()


def _begin(ended: Connection) -> None:
    log_to_terminal(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent handles it
    threading.Thread(target=_end_with, args=(ended.recv, os._exit), daemon=True).start()


def _end_with(wait: Callable[[], object], leave: Callable[[int], object]) -> None:
    try:
        wait()
    except (EOFError, OSError):
        leave(1)
