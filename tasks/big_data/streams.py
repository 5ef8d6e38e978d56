"""Held-out documents of all shards become one stream and one table, part by part, so that memory stays small."""

import io
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.big_data.documents import ROW_GROUP, arrow_options

# Of ids, by their first hex digits, in a piece: a batch of Arrow has about a kilobyte beside its rows.
_RANGES = 64


class Flat:
    """A flat `.npy` file of so many numbers, written a piece at a time."""

    def __init__(self, path: Path, dtype: np.dtype[Any], length: int) -> None:
        self._file: IO[bytes] = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, numbers: NDArray[Any]) -> None:
        """Append numbers of its type."""
        self._file.write(numbers.data)


class Table:
    """A Parquet file written a piece at a time; same pieces, same bytes."""

    def __init__(self, path: Path, schema: Mapping[str, pl.DataType]) -> None:
        self._names = list(schema)
        arrow = pl.DataFrame(schema=schema).to_arrow().schema
        self._writer = pq.ParquetWriter(path, arrow, **arrow_options(self._names))
        self._schema = arrow

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows."""
        if frame.height:
            self._writer.write_table(frame.select(self._names).to_arrow().cast(self._schema), row_group_size=ROW_GROUP)


def in_ranges(rows: pl.DataFrame) -> bytes:
    """Bytes of a table sorted by id, of which `sorted_by_id` reads a range of ids without the others."""
    edges = pl.Series([f"{number:02x}" for number in range(0, 256, 256 // _RANGES)])
    starts = [*rows["id"].search_sorted(edges, side="left"), rows.height]
    table = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        for start, stop in pairwise(starts):
            # A range without rows is a batch too, so that a batch is found by its number.
            (batch,) = table.slice(start, stop - start).combine_chunks().to_batches() or [_none_of(table)]
            writer.write_batch(batch)
    return file.getvalue()


def sorted_by_id(pieces: list[Path], size: int, at_once: int) -> Iterator[pl.DataFrame]:
    """Rows of `in_ranges` files in the order of ids, about `at_once` of `size` bytes at a time.

    Ids are hashes, so that ranges are of about one size; of more than `_RANGES` times `at_once` bytes parts are larger.
    Files are read and not mapped, as their pages would count as memory for each of the pieces.
    """
    parts = min(max(1, -(-size // at_once)), _RANGES)
    edges = [number * _RANGES // parts for number in range(parts + 1)]
    for first, stop in pairwise(edges):
        if pieces:
            yield pl.concat(_ranges(piece, first, stop) for piece in pieces).sort("id")


def _ranges(piece: Path, first: int, stop: int) -> pl.DataFrame:
    with pa.OSFile(str(piece)) as file:
        read = pa.ipc.open_file(file)
        return pl.DataFrame(pa.Table.from_batches(map(read.get_batch, range(first, stop)), read.schema))


def _none_of(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], table.schema)
