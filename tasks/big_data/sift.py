"""A step that judges documents: a pure function of a shard, run on all of them; unchanged shards are remembered."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infra.settings import Settings
from tasks.big_data.documents import (
    Content,
    Shard,
    Sifted,
    Tally,
    files_of,
    part,
    read_index,
    rows_in,
    tally_of,
    write_index,
)
from tasks.big_data.engine import Engine
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
    data: bytes | Path


@dataclass(frozen=True)
class Done:
    """What came of it; `is_same` if all rows go on as they are, whose file is not among `files` then."""

    shard: Shard
    files: dict[str, Content]
    tally: Tally
    is_same: bool


def do(job: Job) -> Done:
    """Run the work on one shard, from bytes to bytes."""
    frame = rows_in(job.data)
    sifted = job.work(frame, job.common, job.extra)
    tally = tally_of(frame.height, job.size, sifted)
    if tally.rows_in != tally.rows_out + tally.rows_rejected:
        raise ValueError(f"{job.work.__module__}: {tally.rows_in} rows became {tally.rows_out} + {tally.rows_rejected}")
    is_same = sifted.accepted is frame  # same rows, same bytes
    shard, files = files_of(job.name, sifted, is_same=is_same)
    return Done(shard, files, tally, is_same)


def sift(
    step: str, source: Path, out: Path, work: Work, common: Any, settings: Settings, where: Engine, *,
    extras: Mapping[str, Any] | None = None,
) -> Tally:  # fmt: skip
    """Pass each shard of `source` through `work`, and write what comes of it to `out`.

    Args:
        step: its name, for the memory and for who watches.
        source: folder of a document table.
        out: folder to write the table to.
        work: `work(frame, common, extra)`, a function of a module that changes nothing outside.
        common: what it needs for every shard; built the same way every time, as memory goes by its bytes.
        settings: cache, progress.
        where: engine.
        extras: by name of a shard, what it needs for that one; None where it is not named.

    Raises:
        StepError: `source` is no table.
    """
    memory = Memory(settings.cache / "shards" / step)
    shards, extras = read_index(source), extras or {}
    module = f"{work.__module__}.{getattr(work, '__qualname__', '')}"
    # By name too, which files have: two shards may be the same bytes, as those of which nothing is left.
    keys = {shard.name: key_of(module, common, extras.get(shard.name), shard.name, shard.sha256) for shard in shards}
    known = {shard.name: memory.recall(keys[shard.name], out) for shard in shards}
    fresh = [shard for shard in shards if known[shard.name] is None]
    jobs = (
        Job(work, common, extras.get(shard.name), shard.name, shard.bytes, where.carried(source / part(shard.name)))
        for shard in fresh
    )
    progress = settings.runs / "progress" / f"{step}.json"
    with Progress(step, total=len(fresh), unit="shards", file=progress) as shown:
        for shard, done in zip(fresh, shown.over(where.map(do, jobs)), strict=True):
            noted = {"shard": done.shard._asdict(), "tally": done.tally.note()}
            same = {part(shard.name): source / part(shard.name)} if done.is_same else {}
            memory.keep(keys[shard.name], {**done.files, **same}, noted, out)
            # As it will be read when it is recalled, so that both ways give the same.
            known[shard.name] = json.loads(json.dumps(noted))
    tally, made = Tally(), [noted for noted in known.values() if noted is not None]
    for noted in made:
        tally.add(Tally.of_note(noted["tally"]))
    write_index(out, (Shard(**noted["shard"]) for noted in made))
    return tally
