"""Where work on shards is done: one after the other, on all cores of this machine, or on a Ray cluster.

The work is a pure function, so that the result is the same everywhere; results come in the order of the items, and only
a few items are under way at a time, so that memory does not grow with their number.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from infra.settings import Settings

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Does work on items, wherever that is."""

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Results in the order of the items, which are drawn as they are needed."""
        ...


class InProcess:
    """One after the other."""

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        return map(work, items)


class OnCores:
    """Threads: the work that costs releases the GIL (numba, Arrow, polars, tokenizers), so that nothing is copied."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[B]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) > self._workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


@contextmanager
def engine(settings: Settings) -> Iterator[Engine]:
    """The engine that `ABCD_DATA_ENGINE` names, for the length of the block."""
    workers = settings.workers or os.cpu_count() or 1
    yield InProcess() if settings.data_engine == "one" or workers == 1 else OnCores(workers)
