"""How often and in which order: by id, weight and seed alone."""

import hashlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data.mix import numbers, shuffled, times

IDS = pl.Series([hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(4000)])


def test_numbers_are_the_first_digits():
    assert numbers(pl.Series(["00000000000000ff" + "a" * 16, "f" * 32])).tolist() == [255, 2**64 - 1]
    assert numbers(pl.Series([], dtype=pl.String)).tolist() == []


@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0, 1.75, 3.0])
def test_a_weight_is_the_mean_number_of_times(weight):
    often = times(numbers(IDS), np.full(len(IDS), weight), 1)
    assert set(often.tolist()) <= {int(weight), int(weight) + 1}
    assert often.mean() == pytest.approx(weight, abs=0.025)


@given(st.lists(st.floats(0.01, 4), min_size=1, max_size=50), st.integers(0, 2**32 - 1), st.data())
def test_each_time_of_each_row_once_and_no_row_depends_on_others(weights, seed, data):
    marks = numbers(IDS[: len(weights)])
    often = times(marks, np.array(weights), seed)
    rows, epochs = shuffled(marks, often, seed)
    assert sorted(zip(rows.tolist(), epochs.tolist(), strict=True)) == [
        (row, epoch) for row, number in enumerate(often.tolist()) for epoch in range(number)
    ]
    some = np.array(sorted(data.draw(st.sets(st.integers(0, len(weights) - 1)))), dtype=int)
    fewer = times(marks[some], np.array(weights)[some], seed)
    assert fewer.tolist() == often[some].tolist()
    # Those that remain stay in their order.
    rest = [(row, epoch) for row, epoch in zip(rows.tolist(), epochs.tolist(), strict=True) if row in set(some)]
    left = shuffled(marks[some], fewer, seed)
    assert [(int(some[row]), epoch) for row, epoch in zip(left.rows, left.epochs.tolist(), strict=True)] == rest


def test_epochs_are_spread():
    """The second time is no neighbour of the first, and another order than it."""
    rows, epochs = shuffled(numbers(IDS), np.full(len(IDS), 2), 1)
    assert abs(np.flatnonzero(epochs == 0).mean() - np.flatnonzero(epochs == 1).mean()) < 200
    first, second = (rows[epochs == epoch] for epoch in (0, 1))
    assert abs(np.corrcoef(np.argsort(first), np.argsort(second))[0, 1]) < 0.1
