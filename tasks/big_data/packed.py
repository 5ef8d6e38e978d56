"""One shard of documents becomes its piece of the streams: a pure function, so that unchanged shards are remembered."""

import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from tasks.big_data.documents import rows_in
from tasks.big_data.encoder import Encoder
from tasks.big_data.mix import numbers, shuffled, times
from tasks.big_data.sides import TRAIN
from tasks.big_data.streams import in_ranges

INDEX_SCHEMA = pl.Schema(
    {"id": pl.String(), "uri": pl.String(), "source": pl.String(), "group": pl.String(), "split": pl.String(),
     "epoch": pl.Int32(), "offset": pl.Int64(), "tokens": pl.Int64(), "bytes": pl.Int64()}
)  # fmt: skip

# Tokens of a run above which to copy it takes less than to compute the places of its tokens.
_LONG = 64


class Common(NamedTuple):
    """What packing needs for every shard."""

    tokenizer: bytes
    is_fast: bool
    seed: int
    weights: Mapping[str, float]


class Job(NamedTuple):
    """One shard, and which of its documents are held out."""

    common: Common
    data: bytes | Path
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """Tokens to train on, their index, held-out rows with their tokens; and counts."""

    train: bytes
    index: bytes
    held_out: bytes
    counts: dict[str, Any]


def pack_shard(job: Job) -> Piece:
    """Encode, mix and shuffle the documents of one shard."""
    frame = rows_in(job.data, ["id", "uri", "source", "group", "text"])
    encoder = _encoder(job.common.tokenizer, may_be_fast=job.common.is_fast)
    ids, counts = encoder.encode(frame["text"])
    frame = frame.with_columns(
        tokens=pl.Series(counts, dtype=pl.Int64),
        bytes=pl.col("text").str.len_bytes().cast(pl.Int64),
        start=pl.Series(np.cumsum(counts) - counts, dtype=pl.Int64),
        is_out=pl.col("id").is_in(list(job.held_out)),
    )
    trained, kept_back = frame.filter(~pl.col("is_out")), frame.filter("is_out").sort("id")
    weights = trained["source"].replace_strict(job.common.weights, return_dtype=pl.Float64)
    marks = numbers(trained["id"])
    often = times(marks, weights.to_numpy(), job.common.seed)
    order = shuffled(marks, often, job.common.seed)
    placed = trained[order.rows].with_columns(epoch=pl.Series(order.epochs))
    index = placed.with_columns(split=pl.lit(TRAIN), offset=pl.col("tokens").cum_sum() - pl.col("tokens"))
    held = kept_back.select("id", "uri", "source", "group", "bytes", "text").with_columns(tokens=_lists(ids, kept_back))
    return Piece(
        gathered(ids, placed["start"].to_numpy(), placed["tokens"].to_numpy()).tobytes(),
        _unpacked(index.select(INDEX_SCHEMA.names()).cast(INDEX_SCHEMA)),
        in_ranges(held),
        {"train": len(placed), "tokens": int(placed["tokens"].sum()), "held_out": held.height,
         "held_out_bytes": int(held["bytes"].sum()), "held_out_tokens": int(kept_back["tokens"].sum()),
         "sources": _by_source(trained.with_columns(times=pl.Series(often)))},
    )  # fmt: skip


def _unpacked(rows: pl.DataFrame) -> bytes:
    """Bytes of a table that is soon read again."""
    file = io.BytesIO()
    rows.write_ipc(file, compression="uncompressed")
    return file.getvalue()


def gathered(
    ids: NDArray[np.unsignedinteger], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    """Runs of `ids`, one after the other."""
    if counts.sum() > _LONG * len(counts):
        return np.concatenate([ids[start : start + count] for start, count in zip(starts, counts, strict=True)])
    before = np.cumsum(counts) - counts
    return ids[np.repeat(starts - before, counts) + np.arange(counts.sum())]


def _lists(ids: NDArray[np.unsignedinteger], rows: pl.DataFrame) -> pl.Series:
    """Tokens of each row."""
    counts = rows["tokens"].to_numpy()
    values = gathered(ids, rows["start"].to_numpy(), counts)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return pl.Series("tokens", pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values)))


def _by_source(trained: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Documents of each source, those left out, tokens: of all of them, of those trained on, as often as they are."""
    counted = trained.group_by("source").agg(
        documents=pl.len(),
        left_out=(pl.col("times") == 0).sum(),
        tokens=pl.col("tokens").sum(),
        distinct_tokens=pl.col("tokens").filter(pl.col("times") > 0).sum(),
        distinct_bytes=pl.col("bytes").filter(pl.col("times") > 0).sum(),
        trained_tokens=(pl.col("tokens") * pl.col("times")).sum(),
        trained_bytes=(pl.col("bytes") * pl.col("times")).sum(),
    )
    return {row.pop("source"): row for row in counted.sort("source").iter_rows(named=True)}


_of_thread = threading.local()


def _encoder(tokenizer: bytes, *, may_be_fast: bool) -> Encoder:
    """An encoder of this thread's own: gigatoken's takes no second call before the first has ended."""
    wanted = (tokenizer, may_be_fast)
    if getattr(_of_thread, "key", None) != wanted:
        _of_thread.key, _of_thread.encoder = wanted, Encoder(tokenizer, may_be_fast=may_be_fast)
    found: Encoder = _of_thread.encoder
    return found
