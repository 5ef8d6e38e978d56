"""A column of strings as numba takes it: all UTF-8 bytes one after the other, and where each string begins."""

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def text_buffers(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes and offsets of a column without nulls; nothing is copied where the column is whole.

    Returns:
        data uint8 [bytes], offsets int64 [strings + 1]: string i is data[offsets[i]:offsets[i + 1]].
    """
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())  # large_string
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    # An empty column has no buffer.
    whole = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return whole, ends


def text_series(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> pl.Series:
    """The column again, from bytes that are UTF-8."""
    begin, end = int(offsets[0]), int(offsets[-1])
    bytes_, ends = (pa.py_buffer(np.ascontiguousarray(array)) for array in (data[begin:end], offsets - begin))
    array = pa.LargeStringArray.from_buffers(len(offsets) - 1, ends, bytes_)
    # As a table, because polars imports pyarrow.compute to look at an array: a twentieth of a step's start.
    return pl.DataFrame(pa.RecordBatch.from_arrays([array], names=["text"]))["text"]
