"""Long blocks of text that several documents have -> each stays in one of them, and the others lose it.

A block is what stands between blank lines; two are the same but for white space and case. The document that keeps one
is chosen as among near copies: side first, then length, then a hash of the id, so that no order matters.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.buffers import text_buffers
from tasks.big_data.grams import blocks_of, likely_repeated
from tasks.big_data.sketches import Sketches

U64 = NDArray[np.uint64]
_AT_ONCE = 4_000_000


def repeated(sketches: Sketches, kept: NDArray[np.bool_], merit: U64) -> dict[int, U64]:
    """What each shard (by its number) loses: row and key of each block, uint64 [blocks, 2], in order.

    Args:
        sketches: of all documents.
        kept: documents that are no copies; only they count.
        merit: of each document, the smaller the better.
    """
    found: list[tuple[NDArray[np.int64], U64]] = []
    for places, keys in _parts(sketches, kept):
        several = likely_repeated(keys)
        places, keys = places[several], keys[several]
        order = np.argsort(keys, kind="stable")
        places, keys = places[order], keys[order]
        # The owner's own repeats of a block stay with it.
        lost = places != _owners(places, keys, merit)
        found.append((places[lost], keys[lost]))
    places, keys = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((keys, places))
    places, keys = places[order], keys[order]
    is_new = np.ones(len(keys), np.bool_)
    is_new[1:] = (places[1:] != places[:-1]) | (keys[1:] != keys[:-1])
    places, keys = places[is_new], keys[is_new]
    return {
        number: np.stack([(places[mine] - sketches.starts[number]).astype(np.uint64), keys[mine]], 1)
        for number, mine in sketches.by_shard(places)
    }


def _owners(places: NDArray[np.int64], keys: U64, merit: U64) -> NDArray[np.int64]:
    """For each block the place of the best document that has it; of those as good, the first.

    Args:
        places: of documents.
        keys: of blocks, sorted; the places of one key too.
        merit: of all documents.
    """
    if not len(keys):
        return places
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    group, merits = np.cumsum(first) - 1, merit[places]
    best = np.flatnonzero(merits == np.minimum.reduceat(merits, np.flatnonzero(first))[group])
    owners = np.empty(group[-1] + 1, np.int64)
    owners[group[best[::-1]]] = places[best[::-1]]  # of several for one key numpy keeps the last
    return owners[group]


def _parts(sketches: Sketches, kept: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], U64]]:
    """Places and keys of blocks, a range of keys at a time."""
    n_parts = max(-(-sketches.n_blocks() // _AT_ONCE), 1)
    for part in range(n_parts):
        low, high = (number * 2**64 // n_parts for number in (part, part + 1))
        places, keys = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
        for number in range(len(sketches.shards)):
            mine, rows = sketches.blocks(number)
            start = np.searchsorted(mine, np.uint64(low))
            end = len(mine) if high == 2**64 else np.searchsorted(mine, np.uint64(high))
            here = rows[start:end].astype(np.int64) + sketches.starts[number]
            places.append(here[kept[here]])
            keys.append(mine[start:end][kept[here]])
        yield np.concatenate(places), np.concatenate(keys)


class Shorter(NamedTuple):
    """A text that lost blocks."""

    text: str
    blocks: int  # that it lost
    bytes: int


def without_blocks(frame: pl.DataFrame, lost: U64) -> dict[int, Shorter]:
    """What becomes of each row that loses blocks."""
    if not len(lost):
        return {}
    rows, starts = np.unique(lost[:, 0].astype(np.int64), return_index=True)
    data, offsets = text_buffers(frame["text"].gather(rows))
    found: dict[int, Shorter] = {}
    for place, (row, keys) in enumerate(zip(rows.tolist(), np.split(lost[:, 1], starts[1:]), strict=True)):
        text = data[offsets[place] : offsets[place + 1]].tobytes()
        blocks = blocks_of(data, offsets, place)
        gone = np.isin(blocks[:, 2], keys)
        left = _without(text, blocks[:, :2].astype(np.int64).tolist(), gone.tolist())
        found[row] = Shorter(left.decode(), int(gone.sum()), len(text) - len(left))
    return found


def _without(text: bytes, blocks: list[list[int]], gone: list[bool]) -> bytes:
    """A text without some blocks and the blank lines after them."""
    left = [number for number, is_gone in enumerate(gone) if not is_gone]
    if not left:
        return b""
    starts = [start for start, _ in blocks] + [len(text)]
    # What stands before the first block and after the last one stays too.
    pieces = [text[: starts[0]], *(text[starts[number] : starts[number + 1]] for number in left[:-1])]
    last = left[-1]
    return b"".join([*pieces, text[starts[last] : blocks[last][1]], text[blocks[-1][1] :]])
