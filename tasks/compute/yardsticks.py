"""Documents -> bits that models without a neural network need for them: byte n-grams and `xz -9`."""

import lzma
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]

ORDERS = (3, 5)
_LONGEST = max(ORDERS)
_CHUNK_BYTES = 8 << 20
# Counting a longer text takes time that the comparison is not worth; callers say how much was read.
TRAINING_BYTES = 64 << 20
# Dictionary sizes of xz: the least that liblzma takes, and that of preset 9 (`man xz`).
_XZ_SMALLEST, _XZ_PRESET_9 = 4 << 10, 64 << 20


class Table(NamedTuple):
    """Distinct n-grams, sorted, as big-endian numbers (the predicted byte is the lowest), and how often each occurs."""

    keys: Keys
    counts: Counts


class Order(NamedTuple):
    """What one order of the model needs: its n-grams' discounted counts, its contexts' totals and back-off mass."""

    keys: Keys
    discounted: NDArray[np.float64]
    contexts: Keys
    totals: NDArray[np.float64]
    back_off: NDArray[np.float64]


class ByteModels:
    """Byte n-gram models of all `ORDERS`, trained on the same documents.

    Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques
    for Language Modeling", section 3, https://dash.harvard.edu/handle/1/25104739). Each document starts from an empty
    context, and its end is not predicted.
    """

    def __init__(self, documents: Iterable[bytes]) -> None:
        tables = {_LONGEST: _count(documents)}
        for order in range(_LONGEST - 1, 0, -1):
            longer = tables[order + 1]
            tables[order] = _merge(longer.keys & _low_bytes(order), longer.counts)
        self._orders = {order: _kneser_ney(tables, order) for order in ORDERS}

    def bits(self, documents: Sequence[bytes]) -> dict[int, NDArray[np.float64]]:
        """Order -> bits of each document."""
        found = {order: np.zeros(len(documents)) for order in self._orders}
        for chunk in _chunks(documents):
            keys, places = np.unique(_ngrams([documents[i] for i in chunk]), return_inverse=True)
            lengths = [len(documents[i]) for i in chunk]
            owners = np.repeat(chunk, lengths)
            for order, levels in self._orders.items():
                bits = -np.log2(_probabilities(levels, keys))[places]
                found[order] += np.bincount(owners, weights=bits, minlength=len(documents))
        return found


def xz_bits(document: bytes) -> int:
    """Bits of a document packed by `xz -9`.

    The dictionary is cut to the document's size: the same bytes out for a document this small (`man xz`, on
    dict=size), without clearing the 674 MiB that the preset asks for.
    """
    enough = 1 << max(len(document) - 1, 0).bit_length()
    dictionary = min(max(enough, _XZ_SMALLEST), _XZ_PRESET_9)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": dictionary}]
    return 8 * len(lzma.compress(document, format=lzma.FORMAT_XZ, filters=filters))


def _count(documents: Iterable[bytes]) -> Table:
    """Longest n-grams of all documents, a chunk of text at a time so that memory stays bounded.

    Raises:
        ValueError: there is no text.
    """
    total = Table(np.empty(0, np.uint64), np.empty(0, np.int64))
    waiting: list[bytes] = []
    size = 0
    for document in documents:
        waiting.append(document)
        size += len(document)
        if size >= _CHUNK_BYTES:
            total, waiting, size = _add(total, waiting), [], 0
    if size:
        total = _add(total, waiting)
    if not len(total.keys):
        raise ValueError("byte n-grams need text to learn from, found none")
    return total


def _add(total: Table, documents: Sequence[bytes]) -> Table:
    keys = _ngrams(documents)
    counted = _merge(keys, np.ones(len(keys), np.int64))
    return _merge(np.concatenate([total.keys, counted.keys]), np.concatenate([total.counts, counted.counts]))


def _chunks(documents: Sequence[bytes]) -> Iterable[NDArray[np.int64]]:
    """Numbers of consecutive documents, about `_CHUNK_BYTES` at a time."""
    ends = np.cumsum([len(document) for document in documents])
    cuts = np.flatnonzero(np.diff(ends // _CHUNK_BYTES)) + 1
    return np.split(np.arange(len(documents)), cuts)


def _ngrams(documents: Sequence[bytes]) -> Keys:
    """One key a byte: the byte and what precedes it in its document, zeros before the start."""
    pad = bytes(_LONGEST - 1)
    text = np.frombuffer(pad.join([b"", *documents]), np.uint8)
    starts = np.cumsum([0] + [len(pad) + len(document) for document in documents[:-1]])
    is_text = np.ones(len(text), bool)
    is_text[starts[:, None] + np.arange(len(pad))] = False
    keys = np.zeros(len(text), np.uint64)
    for back in range(_LONGEST):
        keys[back:] |= text[: len(text) - back].astype(np.uint64) << np.uint64(8 * back)
    return keys[is_text]


def _merge(keys: Keys, counts: Counts) -> Table:
    """Equal keys become one, their counts added."""
    if (counts == 1).all():
        keys = np.sort(keys)
        first = _run_starts(keys)
        return Table(keys[first], np.diff(np.append(first, len(keys))))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = _run_starts(keys)
    return Table(keys[first], np.add.reduceat(counts[order], first))


def _run_starts(keys: Keys) -> NDArray[np.int64]:
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))


def _low_bytes(n: int) -> np.uint64:
    return np.uint64((1 << 8 * n) - 1)


def _kneser_ney(tables: dict[int, Table], highest: int) -> list[Order]:
    """Orders 1 to `highest`; below the highest, an n-gram counts once for each distinct byte before it."""
    orders = []
    for order in range(1, highest + 1):
        table = tables[order]
        if order < highest:
            left = tables[order + 1].keys & _low_bytes(order)
            table = _merge(left, np.ones(len(left), np.int64))
        orders.append(_smooth(table))
    return orders


def _smooth(table: Table) -> Order:
    keys, counts = table
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    contexts = keys >> np.uint64(8)
    first = _run_starts(contexts)
    return Order(
        keys=keys,
        discounted=counts - discounts,
        contexts=contexts[first],
        totals=np.add.reduceat(counts, first).astype(np.float64),
        back_off=np.add.reduceat(discounts, first),
    )


def _discounts(counts: Counts) -> NDArray[np.float64]:
    """What is taken from counts of 0, 1, 2 and more (Chen and Goodman, equation 26)."""
    n1, n2, n3, n4 = (max(int((counts == n).sum()), 1) for n in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    taken = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    # Tables this small that the estimate leaves its range still need some mass for what was never seen.
    return np.clip(taken, [0, 0.1, 0.1, 0.1], [0, 0.9, 1.9, 2.9])


def _probabilities(orders: Sequence[Order], keys: Keys) -> NDArray[np.float64]:
    """Probability of each key's last byte after the bytes before it; all bytes alike before anything is known."""
    probabilities = np.full(len(keys), 1 / 256)
    for length, order in enumerate(orders, start=1):
        key = keys & _low_bytes(length)
        context, known = _find(order.contexts, key >> np.uint64(8))
        ngram, seen = _find(order.keys, key)
        own = np.where(seen, order.discounted[ngram], 0.0)
        mixed = (own + order.back_off[context] * probabilities) / order.totals[context]
        probabilities = np.where(known, mixed, probabilities)
    return probabilities


def _find(table: Keys, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place of each key in a sorted table, and whether it is there."""
    place = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return place, table[place] == keys
