"""Sketches -> pairs of documents that share at least so much of their word 5-grams, each pair verified on the texts.

MinHash with locality-sensitive hashing (https://doi.org/10.1017/9781108684163, chapter 3) only proposes pairs; what is
said of a pair is the true Jaccard similarity of its sets of n-grams, remembered by the digests of both texts.
"""

import io
import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.buffers import text_buffers
from tasks.big_data.documents import parquet_bytes, part, rows_in
from tasks.big_data.engine import Engine
from tasks.big_data.grams import NEAR_WORDS, distinct_grams, likely_repeated, pairs_of_runs, shared_grams
from tasks.big_data.memory import key_of
from tasks.big_data.scans import rows_with
from tasks.big_data.sketches import DIGEST, Sketches
from tasks.sealed import read_sealed, write_sealed

Places = NDArray[np.int64]
# In a run of more documents than this, each is compared with so many of them only.
_MOST_ALL_PAIRS = 8
_CHUNK_PAIRS = 16_384
# Of the bands so far, before those that came several times are left out.
_HELD_PAIRS = 1 << 22
_LOWER = np.uint64(0xFFFF_FFFF)


@dataclass(frozen=True)
class Pairs:
    """Pairs of places, the smaller one first, in their order, and the similarity of each."""

    first: Places
    second: Places
    jaccard: NDArray[np.float64]

    def at_least(self, jaccard: float) -> "Pairs":
        """Those that are as similar as that."""
        close = self.jaccard >= jaccard
        return Pairs(self.first[close], self.second[close], self.jaccard[close])


@dataclass(frozen=True)
class _Band:
    keys: NDArray[np.uint64]
    compared: NDArray[np.bool_]
    merit: NDArray[np.uint64]


def _pairs_of_band(band: _Band) -> NDArray[np.uint64]:
    keys, bits = sorted_keys(band.keys, band.compared)
    found: NDArray[np.uint64] = pairs_of_runs(keys, bits, _MOST_ALL_PAIRS, band.merit)
    return found


def candidates(
    sketches: Sketches, compared: NDArray[np.bool_], merit: NDArray[np.uint64], where: Engine
) -> tuple[Places, Places]:
    """Pairs that have the key of some band in common, each once, in order; most are similar, some are not.

    Args:
        sketches: of all documents.
        compared: which of them count.
        merit: of each, the smaller the better.
        where: engine; a band is sorted by one worker, a few at a time.
    """
    found, held = [np.zeros(0, np.uint64)], 0
    bands = (_Band(keys, compared, merit) for keys in sketches.bands())
    for pairs in where.map(_pairs_of_band, bands):
        found.append(pairs)
        held += len(pairs)
        if held > _HELD_PAIRS:
            found, held = [_united(found)], 0
    each = _united(found)
    return (each >> np.uint64(32)).astype(np.int64), (each & _LOWER).astype(np.int64)


def _united(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Sorted, each once; sorting takes a twentieth of the time of `np.unique`, which hashes."""
    found = np.concatenate(parts)
    found.sort()
    is_new = np.ones(len(found), np.bool_)
    is_new[1:] = found[1:] != found[:-1]
    return found[is_new]


def sorted_keys(keys: NDArray[np.uint64], compared: NDArray[np.bool_]) -> tuple[NDArray[np.uint64], int]:
    """Keys that may be there twice, sorted, with the place of each in the lower bits; how many bits that are.

    One sort of plain numbers is five times as fast as one that also says where they were. The bits that are lost make a
    few pairs more, which verification finds out.
    """
    bits = max(len(keys) - 1, 1).bit_length()
    places = likely_repeated(np.where(compared, keys, np.uint64(0)))
    packed = (keys[places] >> np.uint64(bits) << np.uint64(bits)) | places.astype(np.uint64)
    packed.sort()
    return packed, bits


def verified(
    first: Places, second: Places, sketches: Sketches, source: Path, where: Engine, scratch: Path, remembered: Path
) -> Pairs:
    """The true similarity of each pair; only pairs of which no earlier run knew are computed.

    Args:
        first, second: places of each pair.
        sketches: of the table.
        source: folder of the table.
        where: engine.
        scratch: folder for what does not fit into memory.
        remembered: file with the pairs that were verified before.
    """
    names = _names(first, second, sketches)
    known = _recall(remembered)
    jaccard = names.join(known, on=["a", "b"], how="left", maintain_order="left")["jaccard"].to_numpy().copy()
    missing = np.flatnonzero(np.isnan(jaccard))
    jaccard[missing] = _computed(first[missing], second[missing], sketches, source, where, scratch)
    if len(missing) or known.height > 2 * len(first):
        table = names.with_columns(jaccard=pl.Series(jaccard)).unique(["a", "b"], maintain_order=True)
        write_sealed(remembered, parquet_bytes(table))
    return Pairs(first, second, jaccard)


def remembered_in(cache: Path) -> Path:
    """File for verified pairs; code that compares in another way has another one."""
    return cache / "dedup" / f"{key_of('pairs')}.pairs"


def _names(first: Places, second: Places, sketches: Sketches) -> pl.DataFrame:
    """Each pair by the digests of its texts, whichever stands first."""
    places = np.unique(np.concatenate([first, second]))
    digests = sketches.at(DIGEST, places)
    one, other = digests[np.searchsorted(places, first)], digests[np.searchsorted(places, second)]
    return pl.DataFrame({"a": np.minimum(one, other), "b": np.maximum(one, other)})


def _recall(file: Path) -> pl.DataFrame:
    data = read_sealed(file)
    schema = {"a": pl.UInt64, "b": pl.UInt64, "jaccard": pl.Float64}
    return pl.read_parquet(io.BytesIO(data)) if data is not None else pl.DataFrame(schema=schema)


@dataclass(frozen=True)
class _Task:
    data: bytes | Path
    rows: Places
    ids: tuple[str, ...]


def _grams_of(task: _Task) -> tuple[NDArray[np.uint64], Places]:
    texts = rows_with([task.data], pl.Series(task.ids, dtype=pl.String), ["text"])["text"]
    if len(texts) != len(task.rows):  # an id comes twice, for which `validate` rejects one
        texts = rows_in(task.data, ["text"])["text"].gather(task.rows)
    found: tuple[NDArray[np.uint64], Places] = distinct_grams(*text_buffers(texts), np.arange(len(texts)), NEAR_WORDS)
    return found


def _computed(
    first: Places, second: Places, sketches: Sketches, source: Path, where: Engine, scratch: Path
) -> NDArray[np.float64]:
    places = np.unique(np.concatenate([first, second]))
    if not len(places):
        return np.zeros(0)
    file = scratch / "grams"
    ends = _write_grams(file, places, sketches, source, where)
    one, other = np.searchsorted(places, first), np.searchsorted(places, second)
    sizes, shared = np.diff(ends), np.empty(len(first), np.int64)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for start in range(0, len(first), _CHUNK_PAIRS):
            chunk = slice(start, start + _CHUNK_PAIRS)
            grams = np.frombuffer(mapped, np.uint64)
            shared[chunk] = shared_grams(grams, ends, one[chunk], other[chunk])
            del grams
            # Read pages count as memory of this process until they are given back.
            mapped.madvise(mmap.MADV_DONTNEED)
    file.unlink()
    united = sizes[one] + sizes[other] - shared
    return shared / united


def _write_grams(file: Path, places: Places, sketches: Sketches, source: Path, where: Engine) -> Places:
    """Write the n-grams of documents, one after the other; where each one's end."""
    ids = sketches.ids(places)
    tasks = (
        _Task(
            where.carried(source / part(sketches.shards[number].name)),
            places[which] - sketches.starts[number],
            tuple(ids[which]),
        )
        for number, which in sketches.by_shard(places)
    )
    ends = [np.zeros(1, np.int64)]
    with file.open("wb") as out:
        for grams, ends_here in where.map(_grams_of, tasks):
            out.write(grams.data)
            ends.append(ends_here[1:] + ends[-1][-1])
    return np.concatenate(ends)
