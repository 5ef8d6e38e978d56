"""Lines that begin or end many documents of one source (headers, footers, disclaimers) are found, and removed.

A line counts by the hash of its bytes without white space around it, runs of white space as one space. `edges` reads
the first and last lines of documents; `without` removes chosen lines wherever they stand, as on every page of a
manual. Headings, directives and lines of few letters are structure, and stay.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.passes import kernel, part_of_a_pass, whole_pass
from tasks.thresholds import Boilerplate

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

# Lines that are not blank, at each end: a disclaimer has several.
_EDGE_LINES = 8
_MAX_BYTES = 1000
# Of the documents of a source in one shard: what is rarer cannot be boilerplate of the whole source, and is not kept.
_WORTH_KEEPING = 0.02
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


class Line(NamedTuple):
    """A line at the edge of documents of one source."""

    documents: int
    text: str


def edge_lines(
    data: Bytes, offsets: Offsets, sources: pl.Series, wanted: NDArray[np.bool_]
) -> dict[str, dict[str, Line]]:
    """Source -> hash in hex -> line, for lines at the edges of two or more of the wanted documents.

    Args:
        data: UTF-8 of all documents, one after the other.
        offsets: document i is `data[offsets[i]:offsets[i + 1]]`.
        sources: source of each document.
        wanted: which documents to read.
    """
    lines = edges(data, offsets, wanted)
    sizes = dict(sources.filter(pl.Series(wanted)).value_counts().iter_rows())
    counted = (
        lines.with_columns(source=sources.gather(lines["row"]))
        .unique(["row", "hash"], keep="first", maintain_order=True)
        .group_by("source", "hash")
        .agg(pl.len().alias("documents"), pl.first("begin"), pl.first("end"))
        .filter(pl.col("documents") > 1)
        .sort("source", "hash")
    )
    found: dict[str, dict[str, Line]] = {}
    for source, mark, documents, begin, end in counted.iter_rows():
        if documents >= _WORTH_KEEPING * sizes[source]:
            text = data[begin:end].tobytes().decode("utf-8", "replace")
            found.setdefault(source, {})[f"{mark:016x}"] = Line(documents, text)
    return found


def chosen(lines: Mapping[str, Line], documents: int, limits: Boilerplate) -> dict[str, Line]:
    """Those of a source's edge lines that are boilerplate, the most frequent first."""
    least = max(limits.min_documents, limits.min_share * documents)
    found = [
        (mark, line) for mark, line in lines.items()
        if line.documents >= least and len(line.text) >= limits.min_characters
    ]  # fmt: skip
    return dict(sorted(found, key=lambda item: (-item[1].documents, item[0])))


def edges(data: Bytes, offsets: Offsets, wanted: NDArray[np.bool_]) -> pl.DataFrame:
    """Row, hash, begin and end of each line at an edge of a wanted document that could be boilerplate."""
    most = int(wanted.sum()) * 2 * _EDGE_LINES
    found: dict[str, NDArray[Any]] = {
        "row": np.empty(most, np.uint32), "hash": np.empty(most, np.uint64),
        "begin": np.empty(most, np.int64), "end": np.empty(most, np.int64),
    }  # fmt: skip
    n = _edges(data, offsets, wanted, *found.values())
    return pl.DataFrame({name: values[:n] for name, values in found.items()})


@whole_pass
def _edges(
    data: Bytes, offsets: Offsets, wanted: NDArray[np.bool_],
    rows: NDArray[np.uint32], hashes: NDArray[np.uint64], begins: Offsets, ends: Offsets,
) -> int:  # fmt: skip
    """Fill the last four; how many lines there are."""
    n = 0
    for row in range(len(wanted)):
        if not wanted[row]:
            continue
        low, high = offsets[row], offsets[row + 1]
        at, seen = low, 0
        while at < high and seen < _EDGE_LINES:  # from the top
            end = at
            while end < high and data[end] != 10 and data[end] != 13:
                end += 1
            begin, stop = _trimmed(data, at, end)
            if begin < stop:
                seen += 1
                if _is_candidate(data, begin, stop):
                    rows[n], hashes[n], begins[n], ends[n] = row, _hash(data, begin, stop), begin, stop
                    n += 1
            at = end + 1
        last, seen = high, 0
        while last > at and seen < _EDGE_LINES:  # from the bottom, down to what the top has read
            begin_at = last
            while begin_at > at and data[begin_at - 1] != 10 and data[begin_at - 1] != 13:
                begin_at -= 1
            begin, stop = _trimmed(data, begin_at, last)
            if begin < stop:
                seen += 1
                if _is_candidate(data, begin, stop):
                    rows[n], hashes[n], begins[n], ends[n] = row, _hash(data, begin, stop), begin, stop
                    n += 1
            last = begin_at - 1
    return n


@kernel()
def without(
    data: Bytes, offsets: Offsets, hashes: NDArray[np.uint64], firsts: NDArray[np.int64], lasts: NDArray[np.int64]
) -> tuple[Bytes, Offsets, NDArray[np.int64]]:
    """The documents without the lines whose hash is among `hashes[firsts[i]:lasts[i]]`, and how many each lost.

    Args:
        data: UTF-8 of all documents, one after the other.
        offsets: document i is `data[offsets[i]:offsets[i + 1]]`.
        hashes: in rising order within each range.
        firsts: where the hashes for document i begin.
        lasts: where they end.
    """
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    stops, lost = np.zeros(len(offsets), np.int64), np.zeros(len(offsets) - 1, np.int64)
    to = 0
    for row in range(len(lost)):
        low, high = offsets[row], offsets[row + 1]
        if firsts[row] == lasts[row]:
            out[to : to + high - low] = data[low:high]
            to += high - low
        else:
            known = hashes[firsts[row] : lasts[row]]
            at = low
            while at < high:
                end = at
                while end < high and data[end] != 10 and data[end] != 13:
                    end += 1
                begin, stop = _trimmed(data, at, end)
                after = min(end + 1, high)
                if end + 1 < high and data[end] == 13 and data[end + 1] == 10:
                    after = end + 2
                if begin < stop and stop - begin <= _MAX_BYTES and _is_among(known, _hash(data, begin, stop)):
                    lost[row] += 1
                else:
                    out[to : to + after - at] = data[at:after]
                    to += after - at
                at = after
        stops[row + 1] = to
    return out[:to], stops, lost


@part_of_a_pass
def _is_among(known: NDArray[np.uint64], mark: np.uint64) -> bool:
    low, high = 0, len(known)
    while low < high:  # compiles ten times as fast as `np.searchsorted`
        middle = (low + high) // 2
        if known[middle] < mark:
            low = middle + 1
        else:
            high = middle
    return bool(low < len(known) and known[low] == mark)


@part_of_a_pass
def _trimmed(data: Bytes, begin: int, end: int) -> tuple[int, int]:
    """A line without white space and control characters around it."""
    while begin < end and data[begin] <= 32:
        begin += 1
    while begin < end and data[end - 1] <= 32:
        end -= 1
    return begin, end


@part_of_a_pass
def _hash(data: Bytes, begin: int, end: int) -> np.uint64:
    """FNV-1a (RFC 9923) of 64 bits."""
    value, is_gap = _FNV_START, False
    for at in range(begin, end):
        byte = data[at]
        if byte <= 32:
            if is_gap:
                continue
            byte = np.uint8(32)
        is_gap = byte == 32
        value = (value ^ np.uint64(byte)) * _FNV_PRIME
    return value


@part_of_a_pass
def _is_candidate(data: Bytes, begin: int, end: int) -> bool:
    """Neither a heading or directive of Markdown or reStructuredText, nor a row of a table, nor mostly other signs."""
    if end - begin > _MAX_BYTES or data[begin] == 35 or data[begin] == 124:  # `#`, `|`
        return False
    if data[begin] == 46 and end - begin > 2 and data[begin + 1] == 46 and data[begin + 2] == 32:  # `.. `
        return False
    letters, signs = 0, 0
    for at in range(begin, end):
        byte = data[at]
        if byte >= 0x80 or 65 <= byte <= 90 or 97 <= byte <= 122:
            letters += 1
        elif byte > 32:
            signs += 1
    return letters > signs
