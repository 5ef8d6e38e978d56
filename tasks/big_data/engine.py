"""Where work on shards is done: one after the other, on all cores of this machine, or on a Ray cluster.

The work is a pure function, so that the result is the same everywhere; results come in the order of the items, and only
a few items are under way at a time, so that memory does not grow with their number.
"""

import multiprocessing
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from infra.processes import usable_cores
from infra.ray_cluster import ClusterError, ray_cluster
from infra.settings import Settings
from tasks.big_data.beside import begin_beside, from_files, kept_in_files
from tasks.report import StepError

# A few shards a core, and what comes of them.
_STORE_BYTES = 512 << 20
# So few items are done before other processes have started.
_FEW = 4
# Results a process that may wait in files for an earlier one.
_WAITING = 8

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Does work on items, wherever that is."""

    def map(self, work: Callable[[A], B], items: Iterable[A], *, in_python: bool = False) -> Iterator[B]:
        """Results in the order of the items, which are drawn as they are needed.

        Args:
            work: a function of a module, that changes nothing outside.
            items: what it is done on, each by itself.
            in_python: whether most of the work is Python's own, which threads would do one after the other.
        """
        ...

    def carried(self, file: Path) -> bytes | Path:
        """A file as an item names it: by its path where the work sees this disk, else by its bytes."""
        ...


class InProcess:
    """One after the other."""

    def map(self, work: Callable[[A], B], items: Iterable[A], *, in_python: bool = False) -> Iterator[B]:
        return map(work, items)

    def carried(self, file: Path) -> bytes | Path:
        return file


class OnCores:
    """Threads, where the work that costs releases Python's lock (numba, Arrow, polars, tokenizers): nothing is copied.

    Work of Python's own (readers of rows and pages) is done in this process and others beside it, which leave large
    results in files, so that bytes of shards are not sent.
    """

    def __init__(self, workers: int, scratch: Path) -> None:
        """Work on so many cores; `scratch` is a folder on the file system of the memory, for results on their way."""
        self._workers = workers
        self._scratch = scratch
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[A], B], items: Iterable[A], *, in_python: bool = False) -> Iterator[B]:
        return self._beside(work, iter(items)) if in_python else self._in_threads(work, items)

    def _in_threads(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
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

    def _beside(self, work: Callable[[A], B], items: Iterator[A]) -> Iterator[B]:
        few = list(islice(items, _FEW + 1))
        if len(few) <= _FEW:
            yield from map(work, few)
            return
        yield from _Turns(
            self._started(), self._workers - 1, partial(kept_in_files, work, folder=self._scratch), chain(few, items)
        )

    def carried(self, file: Path) -> bytes | Path:
        return file

    def _started(self) -> ProcessPoolExecutor:
        """The processes, which start while this one works."""
        if not self._pool:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers - 1, mp_context=context, initializer=begin_beside)
        return self._pool


class _Turns:
    """Items go to whichever process is free, this one too; their results come in the order of the items."""

    def __init__(
        self, pool: ProcessPoolExecutor, others: int, work: Callable[[Any], bytes], items: Iterator[Any]
    ) -> None:
        self._pool, self._others, self._work = pool, others, work
        self._items = items
        self._lock = threading.RLock()
        self._found: deque[Future[bytes]] = deque()
        self._busy = 0
        self._is_over = False

    def __iter__(self) -> Iterator[Any]:
        try:
            for _ in range(self._others):
                self._hand_out()
            while True:
                while self._found and (self._found[0].done() or self._is_full()):
                    yield from self._first()
                mine = self._draw()
                if mine is None:
                    break
                item, place = mine
                try:
                    place.set_result(self._work(item))
                except Exception as error:  # noqa: BLE001 - raised in its turn, after the results before it
                    place.set_exception(error)
            while self._found:
                yield from self._first()
        finally:
            with self._lock:
                self._is_over = True

    def _is_full(self) -> bool:
        return len(self._found) > _WAITING * (self._others + 1)

    def _draw(self) -> tuple[Any, "Future[bytes]"] | None:
        """The next item and the place of its result."""
        with self._lock:
            for item in self._items:
                self._found.append(Future())
                return item, self._found[-1]
            return None

    def _hand_out(self) -> None:
        """Give a free process an item, and the next one as soon as it is done."""
        with self._lock:
            if self._is_over or self._is_full():
                return
            place: Future[bytes] | None = None
            try:
                drawn = self._draw()
                if drawn is None:
                    return
                item, place = drawn
                made = self._pool.submit(self._work, item)
            except BaseException as error:  # noqa: BLE001 - in another thread, where nobody would see it
                if place is None:
                    self._found.append(place := Future())
                place.set_exception(error)
                return
            self._busy += 1
        made.add_done_callback(partial(self._done, place))

    def _done(self, place: "Future[bytes]", made: "Future[bytes]") -> None:
        with self._lock:
            self._busy -= 1
        error = None if made.cancelled() else made.exception()
        if error:
            place.set_exception(error)
        elif not made.cancelled():
            place.set_result(made.result())
        self._hand_out()

    def _first(self) -> Iterator[Any]:
        """The first result, whose files stay until the next one is asked for.

        Raises:
            StepError: the process that was at it was killed.
        """
        try:
            result, files = from_files(self._found[0].result())
        except BrokenProcessPool as error:
            raise StepError(
                "a process that works on shards was killed, perhaps for want of memory (`dmesg` says so); type the "
                "same command again, which goes on where this one was, with fewer at once if need be: ABCD_WORKERS=1"
            ) from error
        with self._lock:
            self._found.popleft()
            free = self._others - self._busy
        for _ in range(free):  # those that waited until there was room
            self._hand_out()
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

    def map(self, work: Callable[[A], B], items: Iterable[A], *, in_python: bool = False) -> Iterator[B]:
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
    workers = settings.workers or usable_cores()
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
