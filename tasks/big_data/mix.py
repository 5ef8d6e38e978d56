"""How often each document is trained on, and in which order: functions of its id, its source's weight and a seed.

A document's lot does not change when others come or go.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

_FRACTION_SALT, _ORDER_SALT = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
_ID_DIGITS = 16


class Order(NamedTuple):
    """Rows of a table as they are trained on: a row number for each time, and the how manieth time it is, from 0."""

    rows: NDArray[np.int64]
    epochs: NDArray[np.int32]


def numbers(ids: pl.Series) -> NDArray[np.uint64]:
    """First 64 bits of ids, which are hashes already."""
    first = ids.str.slice(0, _ID_DIGITS).str.decode("hex").bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return first.to_numpy()


def times(numbers: NDArray[np.uint64], weights: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """How often documents are trained on: weight 2.25 is twice, and a third time for a quarter of them."""
    whole = np.floor(weights)
    below = scrambled(numbers, _FRACTION_SALT, seed).astype(np.float64) / 2**64
    return (whole + (below < weights - whole)).astype(np.int64)


def shuffled(numbers: NDArray[np.uint64], times: NDArray[np.int64], seed: int) -> Order:
    """Each row as often as it is wanted, in the order of a hash of seed, id and epoch."""
    rows = np.repeat(np.arange(len(times)), times)
    epochs = (np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)).astype(np.int32)
    keys = scrambled(numbers[rows] ^ scrambled(epochs.astype(np.uint64), _ORDER_SALT, 0), _ORDER_SALT, seed)
    order = np.lexsort((epochs, numbers[rows], keys))
    return Order(rows[order], epochs[order])


def scrambled(numbers: NDArray[np.uint64], salt: int, seed: int) -> NDArray[np.uint64]:
    """Other numbers that look random: SplitMix64's finaliser (https://doi.org/10.1145/2660193.2660195)."""
    mixed = numbers ^ np.uint64((salt * (2 * seed + 1)) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
