"""A shard of documents -> what `dedup` compares: some hundred bytes a document, remembered by the digest of the shard.

Sketches lie in files, one column after the other, so that the same column of all shards is read without the others and
memory does not grow with the corpus.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.buffers import text_buffers, text_series
from tasks.big_data.documents import Shard, part, rows_in
from tasks.big_data.engine import Engine
from tasks.big_data.grams import BANDS, sketch_texts
from tasks.big_data.memory import Memory, key_of
from tasks.big_data.split import scores
from tasks.params import Dedup

U64 = NDArray[np.uint64]
# Columns of a sketch after those of the bands: key of the text and the id in two halves, what decides the side, which
# text, words.
KEY, KEY_END, SCORE, ID, ID_END, DIGEST, WORDS = range(BANDS, BANDS + 7)
_COLUMNS = BANDS + 7
_SKETCH, _BLOCKS, _URIS = "sketch", "blocks", "uris"
_BLOCK_BYTES, _ID_DIGITS = 16, 32
_READ_BYTES = 32 << 20


class Without(NamedTuple):
    """Sources that are left out of a comparison."""

    near: tuple[str, ...]
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class _Task:
    data: bytes | Path
    dedup: Dedup
    without: Without


class Sketches:
    """Sketches of all shards of a table, in its order."""

    def __init__(self, shards: Sequence[Shard], folder: Path) -> None:
        self.shards = shards
        self._folder = folder
        # Place of a document: its number in the whole table.
        self.starts = np.cumsum([0, *(shard.rows for shard in shards)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def column(self, column: int, shard: int | None = None) -> U64:
        """A column of all documents, or of those of one shard (by its number)."""
        if shard is not None:
            rows = self.shards[shard].rows
            path = self._folder / str(shard) / _SKETCH
            return np.fromfile(path, dtype=np.uint64, count=rows, offset=column * rows * 8)
        whole = np.empty(len(self), np.uint64)
        for number in range(len(self.shards)):
            whole[self.starts[number] : self.starts[number + 1]] = self.column(column, number)
        return whole

    def bands(self) -> Iterator[U64]:
        """The column of each band; small ones are read together, as opening a file takes longer than reading it."""
        together = min(max(_READ_BYTES // (8 * max(len(self), 1)), 1), BANDS)
        for first in range(0, BANDS, together):
            found = np.empty((min(together, BANDS - first), len(self)), np.uint64)
            for number, shard in enumerate(self.shards):
                mine = found[:, self.starts[number] : self.starts[number + 1]]
                with (self._folder / str(number) / _SKETCH).open("rb", buffering=0) as file:
                    # Each piece to where it belongs, not to a copy of its own first.
                    read = os.preadv(file.fileno(), list(mine), first * shard.rows * 8)
                if read != mine.nbytes:
                    raise EOFError(f"expected {mine.nbytes} bytes of {file.name}, found {read}")
            yield from found

    def at(self, column: int, places: NDArray[np.int64]) -> U64:
        """A column at some sorted places."""
        found = np.empty(len(places), np.uint64)
        for number, mine in self.by_shard(places):
            found[mine] = self.column(column, number)[places[mine] - self.starts[number]]
        return found

    def by_shard(self, places: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
        """Number of each shard that has some of the sorted places, and which of them."""
        bounds = np.searchsorted(places, self.starts)
        for number in np.flatnonzero(np.diff(bounds)):
            yield int(number), slice(int(bounds[number]), int(bounds[number + 1]))

    def ids(self, places: NDArray[np.int64]) -> list[str]:
        """Ids of the documents at some sorted places."""
        digits = _digits(self.at(ID, places), self.at(ID_END, places))
        return [digits[start : start + _ID_DIGITS] for start in range(0, len(digits), _ID_DIGITS)]

    def ids_of(self, shard: int) -> pl.Series:
        """Ids of all documents of a shard."""
        digits = _digits(self.column(ID, shard), self.column(ID_END, shard)).encode()
        ends = np.arange(0, len(digits) + 1, _ID_DIGITS)
        return text_series(np.frombuffer(digits, np.uint8), ends)

    def uris(self, places: NDArray[np.int64]) -> list[str]:
        """Uris of the documents at some sorted places."""
        found: list[str] = []
        for number, mine in self.by_shard(places):
            data, first = (self._folder / str(number) / _URIS).read_bytes(), 8 * (self.shards[number].rows + 1)
            ends = np.frombuffer(data[:first], np.int64) + first
            rows = places[mine] - self.starts[number]
            bounds = zip(ends[rows].tolist(), ends[rows + 1].tolist(), strict=True)
            found += [data[start:end].decode() for start, end in bounds]
        return found

    def n_blocks(self) -> int:
        """Number of long blocks of all shards."""
        files = (self._folder / str(number) / _BLOCKS for number in range(len(self.shards)))
        return sum(file.stat().st_size for file in files) // _BLOCK_BYTES

    def blocks(self, shard: int) -> tuple[U64, NDArray[np.uint32]]:
        """Keys of the long blocks of a shard, sorted, and the row of each."""
        data = np.fromfile(self._folder / str(shard) / _BLOCKS, dtype=np.uint64).reshape(2, -1)
        return data[0], data[1].astype(np.uint32)


def make_sketches(
    source: Path, shards: Sequence[Shard], dedup: Dedup, without: Without, memory: Memory, where: Engine,
    folder: Path,
) -> Sketches:  # fmt: skip
    """Sketch each shard that is not remembered.

    Args:
        source: folder of the table.
        shards: of the table.
        dedup: what counts as the same.
        without: sources that are not compared in some way.
        memory: sketches of earlier runs.
        where: engine.
        folder: for the files, on the file system of the memory.
    """
    given = (dedup.ignore_whitespace, dedup.min_block_bytes)
    keys = [key_of("sketch", *given, *without, shard.sha256) for shard in shards]
    missing = [n for n, key in enumerate(keys) if memory.recall(key, folder / str(n)) is None]
    tasks = (_Task(where.carried(source / part(shards[n].name)), dedup, without) for n in missing)
    for number, files in zip(missing, where.map(_sketch, tasks), strict=True):
        memory.keep(keys[number], files, {}, folder / str(number))
    return Sketches(shards, folder)


def _sketch(task: _Task) -> dict[str, bytes]:
    """Files of one shard."""
    frame = rows_in(task.data, ["id", "uri", "source", "text", "digest"])
    data, offsets = text_buffers(frame["text"])
    least, rows = task.dedup.min_block_bytes, frame.height
    columns = np.empty((_COLUMNS, rows), np.uint64)
    counts, keys = np.empty(rows, np.int64), np.empty((rows, 2), np.uint64)
    room = int(offsets[-1] - offsets[0]) // least + 1 if least else 1
    block_keys, block_rows = np.empty(room, np.uint64), np.empty(room, np.uint64)
    n_blocks = sketch_texts(data, offsets, least, counts, keys, columns[:BANDS], block_keys, block_rows)
    columns[KEY], columns[KEY_END] = keys.T if task.dedup.ignore_whitespace else _halves(frame["digest"])
    columns[SCORE] = scores(frame["id"].to_list())
    columns[ID], columns[ID_END] = _halves(frame["id"])
    columns[DIGEST], columns[WORDS] = _halves(frame["digest"])[0], counts
    columns[:BANDS, frame["source"].is_in(task.without.near).to_numpy()] = 0
    counted = ~frame["source"].is_in(task.without.blocks).to_numpy()[block_rows[:n_blocks].astype(np.int64)]
    block_keys, block_rows = block_keys[:n_blocks][counted], block_rows[:n_blocks][counted]
    order = np.lexsort((block_rows, block_keys))
    uris, ends = text_buffers(frame["uri"])
    return {
        _SKETCH: columns.tobytes(),
        _BLOCKS: np.stack([block_keys[order], block_rows[order]]).tobytes(),
        _URIS: (ends - ends[0]).tobytes() + uris[ends[0] : ends[-1]].tobytes(),
    }


def _digits(halves: U64, ends: U64) -> str:
    """Ids in hex, one after the other, from their halves."""
    return np.stack([halves, ends], 1).astype(">u8").tobytes().hex()


def _halves(digests: pl.Series) -> U64:
    """The first two 64 bits of hex digests, [2, digests]; the first are their fingerprints."""
    data = bytes.fromhex("".join(digests.str.slice(0, 32)))
    return np.frombuffer(data, dtype=">u8").reshape(-1, 2).T.astype(np.uint64)
