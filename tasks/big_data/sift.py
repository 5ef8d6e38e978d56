"""A step that judges documents: a pure function of a shard, run on all of them; unchanged shards are remembered."""

import io
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infra.settings import Settings
from tasks.big_data.documents import Shard, Sifted, Tally, files_of, part, read_index, tally_of, write_index
from tasks.big_data.engine import Engine, engine
from tasks.big_data.memory import Memory, key_of
from tasks.progress import Progress

Work = Callable[[pl.DataFrame, Any, Any], Sifted]


@dataclass(frozen=True)
class Job:
    """One shard and what is to be done with it."""

    work: Work
    common: Any
    extra: Any
    name: str
    size: int
    packed: bool
    data: bytes


@dataclass(frozen=True)
class Done:
    """What came of it."""

    shard: Shard
    files: dict[str, bytes]
    tally: Tally


def do(job: Job) -> Done:
    """Run the work on one shard, from bytes to bytes."""
    frame = pl.read_parquet(io.BytesIO(job.data))
    sifted = job.work(frame, job.common, job.extra)
    tally = tally_of(frame.height, job.size, sifted)
    if tally.rows_in != tally.rows_out + tally.rows_rejected:
        raise ValueError(f"{job.work.__module__}: {tally.rows_in} rows became {tally.rows_out} + {tally.rows_rejected}")
    # Rows that are the frame itself are the bytes that they were read from: same rows, same bytes.
    known = job.data if sifted.accepted is frame else None
    shard, files = files_of(job.name, sifted, known, packed=job.packed)
    return Done(shard, files, tally)


def sift(
    step: str, source: Path, out: Path, work: Work, common: Any, settings: Settings, *,
    extras: Mapping[str, Any] | None = None, packed: bool = True,
) -> Tally:  # fmt: skip
    """Pass each shard of `source` through `work`, and write what comes of it to `out`.

    Args:
        step: its name, for the memory and for who watches.
        source: folder of a document table.
        out: folder to write the table to.
        work: `work(frame, common, extra)`, a function of a module that changes nothing outside.
        common: what it needs for every shard; built the same way every time, as memory goes by its bytes.
        settings: engine, cache.
        extras: by name of a shard, what it needs for that one; None where it is not named.
        packed: whether the table is compressed.

    Raises:
        StepError: `source` is no table.
    """
    memory = Memory(settings.cache / "shards" / step)
    shards, extras, tally = read_index(source), extras or {}, Tally()
    module = f"{work.__module__}.{getattr(work, '__qualname__', '')}"
    keys = {shard.name: key_of(module, common, extras.get(shard.name), shard.sha256) for shard in shards}
    made: list[Shard] = []
    progress = settings.runs / "progress" / f"{step}.json"
    with engine(settings) as where, Progress(step, total=len(shards), unit="shards", file=progress) as shown:
        jobs = _Jobs(shards, keys, memory, source, out, work, common, extras, packed=packed)
        for shard, counted in shown.over(jobs.done(where)):
            made.append(shard)
            tally.add(counted)
    write_index(out, made)
    return tally


class _Jobs:
    """Shards in their order, remembered ones among those that are worked on."""

    def __init__(
        self, shards: list[Shard], keys: Mapping[str, str], memory: Memory, source: Path, out: Path, work: Work,
        common: Any, extras: Mapping[str, Any], *, packed: bool,
    ) -> None:  # fmt: skip
        self._packed = packed
        self._shards, self._keys, self._memory = shards, keys, memory
        self._source, self._out, self._work, self._common, self._extras = source, out, work, common, extras
        self._order: deque[tuple[Shard, tuple[Shard, Tally] | None]] = deque()

    def done(self, where: Engine) -> Iterator[tuple[Shard, Tally]]:
        """What came of each shard."""
        for result in where.map(do, self._fresh()):
            yield from self._remembered()
            shard, _ = self._order.popleft()
            noted = {"shard": result.shard._asdict(), "tally": result.tally.note()}
            self._memory.keep(self._keys[shard.name], result.files, noted, self._out)
            # As it will be read when it is recalled, so that both ways give the same.
            yield _read_note(json.loads(json.dumps(noted)))
        yield from self._remembered()

    def _fresh(self) -> Iterator[Job]:
        """Jobs of shards that are not remembered; the others are noted in passing."""
        for shard in self._shards:
            noted = self._memory.recall(self._keys[shard.name], self._out)
            self._order.append((shard, _read_note(noted) if noted else None))
            if noted is None:
                data = (self._source / part(shard.name)).read_bytes()
                extra = self._extras.get(shard.name)
                yield Job(self._work, self._common, extra, shard.name, shard.bytes, self._packed, data)

    def _remembered(self) -> Iterator[tuple[Shard, Tally]]:
        while self._order and (known := self._order[0][1]) is not None:
            self._order.popleft()
            yield known


def _read_note(noted: Mapping[str, Any]) -> tuple[Shard, Tally]:
    return Shard(**noted["shard"]), Tally.of_note(noted["tally"])
