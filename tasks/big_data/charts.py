"""Numbers become bars of a page: counts by name, and histograms whose edges do not depend on the data."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.buffers import text_buffers
from tasks.big_data.kernel import statistics

_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
# 64 bytes to 16 MiB, each edge twice the one before.
LENGTHS = tuple(1 << power for power in range(6, 25))


class Bar(NamedTuple):
    """One bar: its name, its number, its length as a percentage of the longest."""

    label: str
    number: int
    percent: float


class Chart(NamedTuple):
    """Bars under a title, and what they show, for those who do not know it."""

    title: str
    note: str
    bars: tuple[Bar, ...]


def size(bytes_: int) -> str:
    """Bytes as people say them."""
    for unit, name in _UNITS:
        if bytes_ >= unit:
            return f"{bytes_ / unit:,.1f} {name}" if bytes_ % unit else f"{bytes_ // unit:,} {name}"
    return f"{bytes_:,} B"


def bars(counts: Iterable[tuple[str, int]]) -> tuple[Bar, ...]:
    """Bars in the order given."""
    found = list(counts)
    most = max((count for _, count in found), default=0) or 1
    return tuple(Bar(label, count, round(100 * count / most, 1)) for label, count in found)


def ranked(counts: Mapping[str, int]) -> tuple[Bar, ...]:
    """Bars by count, the largest first."""
    return bars(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def lengths(counts: Sequence[int]) -> Chart:
    """Documents by the bytes of their texts.

    Args:
        counts: documents below the first of `LENGTHS`, between each two, and from the last one on.
    """
    labels = [f"under {size(LENGTHS[0])}", *(f"{size(low)} to {size(high)}" for low, high in pairwise(LENGTHS))]
    named = list(zip([*labels, f"{size(LENGTHS[-1])} and more"], counts, strict=True))
    filled = [number for number, (_, count) in enumerate(named) if count]
    shown = named[filled[0] : filled[-1] + 1] if filled else []
    return Chart("Length", "Documents that are trained on or judged by, by the size of their text.", bars(shown))


def qualities(texts: pl.Series) -> list[Chart]:
    """Histograms of a few figures that the rules of quality go by, of a sample of documents."""
    if not len(texts):
        return []
    of = statistics(*text_buffers(texts))
    words, characters = np.maximum(of["words"], 1), np.maximum(of["characters"], 1)
    shares = np.linspace(0, 1, 11)
    note = f"Of {len(texts):,} documents that were kept, chosen by hash. "
    return [
        _histogram("Letters and digits", note + "Share of a document's characters: prose is near 80 %, dumps and "
                   "drawings are low.", of["alphanumerics"] / characters, shares, percent=True),
        _histogram("Length of a word", note + "Mean characters of a document's words: English prose is near 5.",
                   of["word_characters"] / words, np.array([0, 2, 3, 4, 5, 6, 7, 8, 10, 15, np.inf])),
        _histogram("Repeated lines", note + "Share of a document's lines that stood in it before: templates and "
                   "tables are high.", of["repeated_lines"] / np.maximum(of["written_lines"], 1), shares, percent=True),
        _histogram("Repeated phrases", note + "Share of a document's characters in runs of five words that stood in "
                   "it before.", of["repeated_5"] / characters, shares, percent=True),
    ]  # fmt: skip


def _histogram(
    title: str, note: str, values: NDArray[np.float64], edges: NDArray[np.float64], *, percent: bool = False
) -> Chart:
    inner = np.searchsorted(edges[1:-1], values, side="right")
    counts = np.bincount(inner, minlength=len(edges) - 1)
    unit = (lambda edge: f"{edge:.0%}") if percent else (lambda edge: f"{edge:g}")
    labels = [f"{unit(low)} and more" if np.isinf(high) else f"{unit(low)} to {unit(high)}"
              for low, high in pairwise(edges)]  # fmt: skip
    return Chart(title, note, bars(zip(labels, counts.tolist(), strict=True)))
