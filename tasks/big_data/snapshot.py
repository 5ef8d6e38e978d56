"""What a query said becomes Parquet files beside the manifest, so that ingest reads exactly what discover saw.

Rows stand in the order of the watermark, rows of one mark in the order of their texts, cut into parts by size. So a
table that only grows changes its last parts, and asking for new rows alone gives the bytes of asking for all.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data.answers import INDEX, said_of
from tasks.big_data.documents import parquet_bytes
from tasks.big_data.places import DiskPlace, base_of, link_or_copy, snapshot_of
from tasks.big_data.sources import Digests
from tasks.big_data.sql import Answer, Mark, Texts, asked
from tasks.report import read_json, write_json
from tasks.source import Source

PART_CHARACTERS = 16 * 2**20
PART_ROWS = 200_000

_Row = tuple[Mark | None, Texts]
_Taken = tuple[list[str], Mark | None, list["Part"]]


class Part(NamedTuple):
    """One file of a snapshot; `last`: text of its last row's mark."""

    name: str
    sha256: str
    size: int
    rows: int
    last: str


class _Known(NamedTuple):
    """What the look before left: where, columns, the last mark and the parts."""

    folder: Path
    columns: list[str]
    mark: Mark
    parts: list[Part]


def take(source: Source, settings: Settings, digests: Digests, out: Path) -> list[SourceFile]:
    """Write a source's snapshot below `out`: what is new since the snapshot before, and that one's other parts.

    Raises:
        StepError: the database cannot be asked, or its answer cannot be read.
    """
    folder = snapshot_of(out, source.uri)
    folder.mkdir(parents=True)
    known = None if settings.discover_full else _known(source, settings, digests)
    columns, mark, parts = (known and _new_rows(source, known, folder)) or _all_rows(source, folder)
    entry = {
        **said_of(source),
        "question": _question(source),
        "columns": columns,
        "mark": mark,
        "parts": [p._asdict() for p in parts],
    }
    write_json(folder / INDEX, entry)
    base = base_of(source.uri)
    return [SourceFile(uri=f"{base}/{p.name}", source=source.uri, size=p.size, sha256=p.sha256) for p in parts]


def _all_rows(source: Source, folder: Path) -> _Taken:
    with asked(source, None) as answer:
        mark, parts = _write(_ordered(answer), answer.columns, folder)
    return answer.columns, mark, parts


def _new_rows(source: Source, known: _Known, folder: Path) -> _Taken | None:
    """Rows from the last mark on, after those before it; None if the answer has other columns by now."""
    stay = 0
    while stay < len(known.parts) - 1 and known.parts[stay].last != known.mark.text:
        stay += 1
    kept, again = known.parts[:stay], known.parts[stay:]
    with asked(source, known.mark) as answer:
        if answer.columns != known.columns:
            return None
        for part in kept:
            link_or_copy(known.folder / part.name, folder / part.name)
        before = _before_mark(source, known, again)
        mark, made = _write(chain(before, _ordered(answer)), answer.columns, folder, first=stay)
    if mark is None and kept:
        mark = Mark(known.mark.kind, kept[-1].last)
    return answer.columns, mark, [*kept, *made]


def _question(source: Source) -> str:
    return hashlib.sha256("\0".join((source.uri, source.query, source.watermark, source.key)).encode()).hexdigest()


def _known(source: Source, settings: Settings, digests: Digests) -> _Known | None:
    """The snapshot before, if it answers the same question and all its bytes are there."""
    folder = snapshot_of(settings.snapshots, source.uri)
    try:
        entry: dict[str, Any] = read_json(folder / INDEX)
        parts = [Part(**part) for part in entry["parts"]]
        if entry["question"] != _question(source) or not entry["mark"]:
            return None
        if any(digests.of(DiskPlace(folder / part.name)) != (part.sha256, part.size) for part in parts):
            return None
        return _Known(folder, entry["columns"], Mark(*entry["mark"]), parts)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _before_mark(source: Source, known: _Known, parts: Iterable[Part]) -> Iterator[_Row]:
    """Rows of parts, but those of the last mark, which the database is asked for again."""
    at = known.columns.index(source.watermark)
    for part in parts:
        for row in pl.read_parquet(known.folder / part.name).iter_rows():
            if row[at] != known.mark.text:
                yield Mark(known.mark.kind, row[at]), row


def _ordered(answer: Answer) -> Iterator[_Row]:
    """Rows of one mark by their texts: a database gives them in any order; so all rows where there is no mark."""
    for _, same in groupby(answer.rows(), key=lambda row: row[0]):
        yield from sorted(answer.by_key(same), key=lambda row: [(text is not None, text or "") for text in row[1]])


def _write(rows: Iterable[_Row], columns: list[str], folder: Path, first: int = 0) -> tuple[Mark | None, list[Part]]:
    """Rows as parts, numbered from `first`, and the mark of the last one."""
    parts, open_part, characters = list[Part](), list[Texts](), 0
    mark: Mark | None = None

    def close() -> None:
        name = f"part-{first + len(parts):06}.parquet"
        data = parquet_bytes(pl.DataFrame(open_part, schema=dict.fromkeys(columns, pl.String), orient="row"))
        (folder / name).write_bytes(data)
        last = mark.text if mark else ""
        parts.append(Part(name, hashlib.sha256(data).hexdigest(), len(data), len(open_part), last))
        open_part.clear()

    for at, texts in rows:
        mark = at
        open_part.append(texts)
        characters += sum(len(text) for text in texts if text)
        if characters >= PART_CHARACTERS or len(open_part) == PART_ROWS:
            close()
            characters = 0
    if open_part:
        close()
    return mark, parts
