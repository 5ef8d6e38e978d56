"""A row of a database has a name, by its key if the source names one, and from its name it is found again.

A key is a row's own for one value of the watermark: a row that changes, with a time of change as watermark, comes anew.
So the name has both, unless they are one column.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from tasks.big_data.places import base_of
from tasks.report import read_json
from tasks.source import Source

INDEX = "snapshot.json"


class Found(NamedTuple):
    """A row of a snapshot: the uri of its file, its number there, and in the whole answer, both from 1."""

    query: str
    file: str
    row: int
    position: int


def said_of(source: Source) -> dict[str, str]:
    """What a snapshot's index says of the source, so that rows are found again."""
    return {"base": base_of(source.uri), "query": source.query, "key": source.key, "watermark": source.watermark}


def names(file: BinaryIO, source: Source) -> pl.Series:
    """Names of the rows of a part of a snapshot whose source has a key."""
    columns = _named_by(source.key, source.watermark)
    rows = pl.read_parquet(file, columns=columns).select(columns)
    file.seek(0)
    beginning = pl.lit(f"{base_of(source.uri)}/{source.key}=")
    return rows.select(name=pl.concat_str(beginning, pl.concat_str(columns, separator="@")))["name"]


def find(snapshots: Path, name: str) -> Found | None:
    """The row of this name; None where it is no database's."""
    for index in sorted(snapshots.glob(f"*/{INDEX}")):
        entry = read_json(index)
        if name.startswith(f"{entry['base']}/"):
            return next(_rows(index.parent, entry, name.removeprefix(f"{entry['base']}/")), None)
    return None


def _rows(folder: Path, entry: dict[str, Any], end: str) -> Iterator[Found]:
    """Where the row is whose name ends so."""
    before, columns = 0, _named_by(entry["key"], entry["watermark"])
    part_name, _, number = end.rpartition("#")
    for part in entry["parts"]:
        file = f"{entry['base']}/{part['name']}"
        if entry["key"]:
            rows = pl.scan_parquet(folder / part["name"], glob=False).with_row_index("row", offset=1)
            is_it = pl.concat_str(columns, separator="@") == end.removeprefix(f"{entry['key']}=")
            for row in rows.filter(is_it).select("row").collect()["row"]:
                yield Found(entry["query"], file, row, before + row)
        elif part_name == part["name"]:
            yield Found(entry["query"], file, int(number), before + int(number))
        before += part["rows"]


def _named_by(key: str, watermark: str) -> list[str]:
    return [key, watermark] if watermark and watermark != key else [key]
