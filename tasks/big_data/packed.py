"""One shard of documents becomes its piece of the streams: a pure function, so that unchanged shards are remembered."""

import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.checking import Broken, check_piece
from data_contracts.contract import PACKED, Contract
from data_contracts.pieces import HELD_OUT, TRAIN, Piece, index_file, tokens_file
from data_contracts.tables import piece_row
from tasks.big_data.documents import Content, document_bytes, rows_in
from tasks.big_data.encoder import Encoder
from tasks.big_data.mix import numbers, shuffled, times
from tasks.big_data.streams import in_ranges

INDEX_SCHEMA = pl.Schema(
    {"id": pl.String(), "uri": pl.String(), "source": pl.String(), "group": pl.String(), "split": pl.String(),
     "epoch": pl.Int32(), "offset": pl.Int64(), "tokens": pl.Int64(), "bytes": pl.Int64()}
)  # fmt: skip

PIECES_FOLDER = ".pieces"  # of what is no part of the step's output

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
    name: str
    data: bytes | Path
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Packed:
    """What comes of it: files by name, counts to be noted with them, and rules of the contract that it breaks.

    Files are those of its piece to train on, and one of its held-out documents with their tokens, in `PIECES_FOLDER`.
    """

    files: dict[str, Content]
    counts: dict[str, Any]
    broken: tuple[Broken, ...]


def pack_shard(job: Job) -> Packed:
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
    train = _Run.of(TRAIN, job.name, ids, placed)
    held_out = _Run.of(HELD_OUT, job.name, ids, kept_back.with_columns(epoch=pl.lit(0, pl.Int32)))
    files = {held_out_file(job.name): in_ranges(held_out.documents())}
    if train.index.height:
        files[tokens_file(TRAIN, job.name)] = _npy(train.tokens)
        files[index_file(TRAIN, job.name)] = document_bytes(train.index)
    noted = {
        "train": train.piece._asdict(), "held_out": held_out.index.height, "held_out_tokens": len(held_out.tokens),
        "held_out_bytes": int(kept_back["bytes"].sum()),
        "sources": _by_source(trained.with_columns(times=pl.Series(often))),
    }  # fmt: skip
    broken = [rule for run in (train, held_out) for rule in run.broken(encoder.vocab_size)]
    return Packed(files, noted, tuple(broken))


def held_out_file(name: str) -> str:
    """File of the held-out documents of a shard."""
    return f"{PIECES_FOLDER}/{name}"


@dataclass(frozen=True)
class _Run:
    """Documents of a shard one after the other: the shard's rows, their tokens, the index on them."""

    rows: pl.DataFrame
    tokens: NDArray[np.unsignedinteger]
    index: pl.DataFrame
    piece: Piece

    @classmethod
    def of(cls, split: str, name: str, ids: NDArray[np.unsignedinteger], rows: pl.DataFrame) -> Self:
        tokens = gathered(ids, rows["start"].to_numpy(), rows["tokens"].to_numpy())
        places = rows.with_columns(split=pl.lit(split), offset=pl.col("tokens").cum_sum() - pl.col("tokens"))
        index = places.select(INDEX_SCHEMA.names()).cast(INDEX_SCHEMA)
        return cls(rows, tokens, index, Piece.measured(split, name, lambda: tokens, index))

    def documents(self) -> pl.DataFrame:
        """Rows with their tokens."""
        ends = pl.Series(np.concatenate([[0], np.cumsum(self.index["tokens"].to_numpy())]))
        # Through polars: pyarrow imports pandas to look at what it is given, half a second.
        lists = pa.LargeListArray.from_arrays(ends.to_arrow(), pl.Series(self.tokens).to_arrow())
        rows = self.rows.select("id", "uri", "source", "group", "bytes", "text")
        return rows.with_columns(tokens=pl.Series("tokens", lists))

    def broken(self, vocabulary: int) -> tuple[Broken, ...]:
        """Rules of the contract that it breaks as a piece."""
        if not self.index.height:
            return ()
        texts = self.rows if self.piece.split == HELD_OUT else self.rows.clear()
        tables = {"index": self.index, "pieces": piece_row(self.piece, vocabulary), "held_out": texts}
        return check_piece(contracts(), tables)


@cache
def contracts() -> dict[str, Contract]:
    """What pieces must be."""
    return Contract.read_all(PACKED)


def _npy(tokens: NDArray[np.unsignedinteger]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, tokens, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def gathered(
    ids: NDArray[np.unsignedinteger], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    """Runs of `ids`, one after the other."""
    if counts.sum() > _LONG * len(counts):
        return np.concatenate([ids[start : start + count] for start, count in zip(starts, counts, strict=True)])
    before = np.cumsum(counts) - counts
    return ids[np.repeat(starts - before, counts) + np.arange(counts.sum())]


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
