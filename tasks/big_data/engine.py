"""Where work on shards is done: one after the other, on all cores of this machine, or on a Ray cluster.

The work is a pure function, so that the result is the same everywhere; results come in the order of the items, and only
a few items are under way at a time, so that memory does not grow with their number.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from infra.ray_cluster import ClusterError, ray_cluster
from infra.settings import Settings
from tasks.report import StepError

# A few shards a core, and what comes of them.
_STORE_BYTES = 512 << 20

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Does work on items, wherever that is."""

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Results in the order of the items, which are drawn as they are needed."""
        ...

    def carried(self, file: Path) -> bytes | Path:
        """A file as an item names it: by its path where the work sees this disk, else by its bytes."""
        ...


class InProcess:
    """One after the other."""

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        return map(work, items)

    def carried(self, file: Path) -> bytes | Path:
        return file


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

    def carried(self, file: Path) -> bytes | Path:
        return file


class OnRay:
    """Tasks of a Ray cluster; what they read and write travels through its object store.

    Ray Core and not Ray Data: shards are ready-made blocks and no task needs another one's rows, so that planning and
    an executor of its own per data set are not needed; `benchmarks.engines` holds them against each other.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        import ray

        task = ray.remote(num_cpus=1, max_retries=2)(work)
        waiting: deque[ray.ObjectRef[B]] = deque()
        for item in items:
            waiting.append(task.remote(item))
            # One more than there are slots, so that none waits for the driver.
            if len(waiting) > self._slots + 1:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())

    def carried(self, file: Path) -> bytes | Path:
        return file.read_bytes()


@contextmanager
def engine(settings: Settings) -> Iterator[Engine]:
    """The engine that `ABCD_DATA_ENGINE` names, for the length of the block.

    Raises:
        StepError: there is no Ray where one is asked for.
    """
    workers = settings.workers or os.cpu_count() or 1
    if settings.data_engine == "ray":
        try:
            with ray_cluster(settings, environment={}, store_bytes=_STORE_BYTES):
                import ray

                yield OnRay(int(ray.cluster_resources().get("CPU", 1)))
        except ClusterError as error:
            raise StepError(str(error)) from error
    else:
        yield InProcess() if settings.data_engine == "one" or workers == 1 else OnCores(workers)
