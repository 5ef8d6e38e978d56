"""Pieces of shards become the streams of tokens and their index, piece after piece, so that memory stays small."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.big_data.documents import ROW_GROUP, arrow_options


class Stream:
    """A flat `.npy` file of so many numbers, written a piece at a time."""

    def __init__(self, path: Path, dtype: np.dtype[Any], length: int) -> None:
        self._file: IO[bytes] = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def copy(self, piece: Path) -> None:
        """Append the bytes of a file."""
        with piece.open("rb") as read:
            shutil.copyfileobj(read, self._file, 1 << 20)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)


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


def sorted_by_id(pieces: list[Path], size: int, at_once: int) -> Iterator[pl.DataFrame]:
    """Rows of tables, each of which is sorted by id, in the order of ids, about `at_once` of `size` bytes at a time.

    Ids are hashes, so that parts are of about one size. The files are mapped, of which each part reads its own rows.
    """
    parts = max(1, -(-size // at_once))
    edges = [f"{number * 2**32 // parts:08x}" for number in range(parts)]
    for low, high in zip(edges, [*edges[1:], "g"], strict=True):
        frames = [_between(piece, low, high) for piece in pieces]
        if frames:
            yield pl.concat(frames).sort("id")


def _between(piece: Path, low: str, high: str) -> pl.DataFrame:
    """Rows of a table sorted by id, from one id up to another."""
    with pa.memory_map(str(piece)) as file:
        rows = pa.ipc.open_file(file).read_all()
        ids = pl.Series(rows["id"])
        first, stop = (int(ids.search_sorted(edge)) for edge in (low, high))
        return pl.DataFrame(rows.slice(first, stop - first))


def opened(stack: ExitStack, out: Path, names: Mapping[str, int], dtype: np.dtype[Any]) -> dict[str, Stream]:
    """Streams of so many tokens each, by name."""
    return {name: stack.enter_context(Stream(out / f"{name}.npy", dtype, length)) for name, length in names.items()}
