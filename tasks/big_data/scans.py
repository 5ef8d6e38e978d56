"""What is read of a document table without its texts: small columns of many shards at once, some rows of one shard.

Opening a file takes longer than reading a column of it, and a text that is not asked for costs neither time nor memory.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tasks.big_data.documents import REJECTED, Shard, file_of, part, read_index, rows_in

# Of a few short columns this is some ten megabytes.
_ROWS_AT_ONCE = 1 << 18


def columns_of(folder: Path, columns: Sequence[str], *, rejected: bool = False) -> Iterator[pl.DataFrame]:
    """Some columns of all shards, in their order, and the number of the shard in `shard`; many shards at a time.

    Args:
        folder: of the table.
        columns: of few bytes a row.
        rejected: of the rows that the step rejected.

    Raises:
        StepError: there is no table, or a shard of it is not there.
    """
    batch: list[tuple[int, int, Path]] = []
    for number, shard in enumerate(read_index(folder)):
        rows = shard.rejected if rejected else shard.rows
        if not rows:
            continue
        if batch and sum(each[1] for each in batch) + rows > _ROWS_AT_ONCE:
            yield _read(batch, columns)
            batch = []
        batch.append((number, rows, rejected_file(folder, shard) if rejected else file_of(folder, shard.name)))
    if batch:
        yield _read(batch, columns)


def rows_with(files: Sequence[bytes | Path], ids: pl.Series, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of shards that have these ids, in their order; nothing else of the shards comes into memory.

    Args:
        files: of the shards, as `Engine.carried` names them.
        ids: of rows.
        columns: of the rows, by default all.
    """
    given: list[Any] = [io.BytesIO(file) if isinstance(file, bytes) else file for file in files]
    rows = pl.scan_parquet(given, glob=False).filter(pl.col("id").is_in(ids.implode()))
    return (rows.select(columns) if columns else rows).collect()


def smallest(folder: Path, name: str, rows: int) -> pl.DataFrame:
    """The rows of a shard with the smallest ids, which are hashes, in their order.

    Raises:
        StepError: the shard is not there.
    """
    file = file_of(folder, name)
    return rows_with([file], rows_in(file, ["id"])["id"].bottom_k(rows))


def rejected_file(folder: Path, shard: Shard) -> Path:
    """File of the rows that a step rejected of a shard; there is one if there are such rows."""
    return folder / REJECTED / part(shard.name)


def _read(batch: Sequence[tuple[int, int, Path]], columns: Sequence[str]) -> pl.DataFrame:
    numbers, rows, paths = zip(*batch, strict=True)
    found = pl.read_parquet(list(paths), columns=list(columns), glob=False)
    return found.with_columns(shard=pl.Series(np.repeat(np.array(numbers, np.uint32), rows)))
