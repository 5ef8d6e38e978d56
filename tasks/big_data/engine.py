"""Where work on shards is done: one after the other, on all cores of this machine, or on a Ray cluster.

The work is a pure function, so that the result is the same everywhere; results come in the order of the items, and only
a few items are under way at a time, so that memory does not grow with their number.
"""

import multiprocessing
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, Self, TypeVar

from infra.ray_cluster import ClusterError, ray_cluster
from infra.settings import Settings
from tasks.big_data.beside import begin_beside, from_files, kept_in_files
from tasks.report import StepError

# A few shards a core, and what comes of them.
_STORE_BYTES = 512 << 20
# What so few items, or what is done in so short a time, is over before other processes have started.
_FEW, _SHORT_SECONDS = 4, 0.2
# Items that a process has before it at a time, the one that it is at included.
_AHEAD = 2
# Items a process that may wait for an earlier one, in memory or in files.
_WAITING = 4

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
    """This process and others beside it, which leave large results in files, so that bytes of shards are not sent.

    Processes and not threads: what readers of rows and patterns of personal data do in Python would wait for one lock.
    """

    def __init__(self, workers: int, scratch: Path) -> None:
        """Work on so many cores; `scratch` is a folder on the file system of the memory, for results on their way."""
        self._others = workers - 1
        self._scratch = scratch
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        given = iter(items)
        few = list(islice(given, _FEW + 1))
        if len(few) <= _FEW and not self._pool:
            yield from map(work, few)
            return
        waiting: deque[Future[bytes] | B] = deque()
        alone_until = 0.0 if self._pool else time.monotonic() + _SHORT_SECONDS
        try:
            for item in chain(few, given):
                is_free = sum(map(_is_under_way, waiting)) < _AHEAD * self._others
                if is_free and time.monotonic() > alone_until:
                    waiting.append(self._started().submit(kept_in_files, work, item, self._scratch))
                    continue
                waiting.append(work(item))  # so that this core does not wait either
                while waiting and (len(waiting) > _WAITING * self._others or not _is_under_way(waiting[0])):
                    yield from _taken(waiting.popleft())
            while waiting:
                yield from _taken(waiting.popleft())
        finally:
            for one in waiting:
                if isinstance(one, Future):
                    one.cancel()

    def carried(self, file: Path) -> bytes | Path:
        return file

    def _started(self) -> ProcessPoolExecutor:
        """The processes, which start while this one works."""
        if not self._pool:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._others, mp_context=context, initializer=begin_beside)
        return self._pool


def _is_under_way(one: object) -> bool:
    return isinstance(one, Future) and not one.done()


def _taken(one: "Future[bytes] | B") -> Iterator[B]:
    """A result, whose files stay until the next one is asked for.

    Raises:
        StepError: the process that was at it was killed.
    """
    if not isinstance(one, Future):
        yield one
        return
    try:
        result, files = from_files(one.result())
    except BrokenProcessPool as error:
        raise StepError(
            "a process that works on shards was killed, perhaps for want of memory (`dmesg` says so); type the same "
            "command again, which goes on where this one was, with fewer at once if need be: ABCD_WORKERS=1"
        ) from error
    yield result
    for path in files:
        path.unlink(missing_ok=True)


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
    elif settings.data_engine == "one" or workers == 1:
        yield InProcess()
    else:
        settings.cache.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=settings.cache, prefix="beside-") as scratch,
            OnCores(workers, Path(scratch)) as cores,
        ):
            yield cores
