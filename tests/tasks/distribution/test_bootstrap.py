"""The bootstrap: worked by hand on two groups, and right about confidence where the truth is known."""

import numpy as np
import pytest

from tasks.distribution.bootstrap import degrees_of_freedom, expanded_tail, paired_interval


def interval(candidate, champion, size, groups, **changed):
    options = {"resamples": 2000, "confidence": 0.95, "seed": 1, **changed}
    return paired_interval(
        candidate_bits=np.array(candidate, float),
        champion_bits=np.array(champion, float),
        size_bytes=np.array(size),
        groups=np.array(groups),
        **options,
    )


def test_two_groups_by_hand():
    """Group a: 10 + 10 bytes, 4 bits better; group b: 20 bytes, 2 bits worse.

    All: (-4 + 2) / 40 = -0.05. Draws of two groups: aa -8/40 = -0.2 (a quarter), ab -0.05 (a half), bb 4/40 = 0.1
    (a quarter). Two groups of one size leave one degree of freedom, for which t is tan(pi (p - 1/2)): the interval of
    20 % leaves out Phi(-sqrt(2) tan(pi / 10)) = Phi(-0.4595) = 0.323 at each end and stays with ab, that of 40 % leaves
    out Phi(-sqrt(2) tan(pi / 5)) = Phi(-1.0275) = 0.152 and reaches from aa to bb.
    """
    arguments = [19, 17, 42], [20, 20, 40], [10, 10, 20], ["a", "a", "b"]
    assert interval(*arguments) == (-0.05, -0.2, 0.1)
    assert interval(*arguments, confidence=0.4) == (-0.05, -0.2, 0.1)
    assert interval(*arguments, confidence=0.2) == (-0.05, -0.05, -0.05)
    assert expanded_tail(0.4, 1) == pytest.approx(0.3229, abs=1e-4)
    assert expanded_tail(0.3, 1) == pytest.approx(0.1521, abs=1e-4)


def test_degrees_of_freedom_by_hand():
    """Equal groups: G - 1. Shares 1/2, 1/4, 1/4: squares 1/4, 1/16, 1/16, by 1 - h: 1/2, 1/12, 1/12.

    3/8 + (2/3)^2 - (1/4 + 1/144 + 1/144) = 3/8 + 4/9 - 19/72 = 40/72, so 1.8.
    """
    for count in (2, 3, 28):
        assert degrees_of_freedom(np.full(count, 7.0)) == pytest.approx(count - 1)
    assert degrees_of_freedom(np.array([2.0, 1.0, 1.0])) == pytest.approx(1.8)


def test_one_large_group_among_small_ones_is_little_evidence():
    assert degrees_of_freedom(np.array([1000.0, *[1.0] * 99])) < 2
    assert degrees_of_freedom(np.array([5.0])) == degrees_of_freedom(np.array([5.0, 0.0])) == 0


def test_many_groups_leave_the_percentile_interval():
    """2.5 % at each end when groups are many; further out the fewer they are; nothing when there is one."""
    tails = [expanded_tail(0.025, freedom) for freedom in (0, 1, 4, 27, 1e6)]
    assert tails == sorted(tails)
    assert tails[0] == 0
    assert tails[-1] == pytest.approx(0.025, abs=1e-5)


def test_one_document_has_no_width():
    assert interval([5], [4], [10], ["a"]) == (0.1, 0.1, 0.1)


def test_bits_are_per_byte_of_all_documents_not_a_mean_of_means():
    """A tiny document with a huge difference weighs as many bytes as it has."""
    found = interval([11, 1000], [1, 1000], [1, 999], ["a", "b"])
    assert found.difference == 10 / 1000


def test_the_same_bits_make_no_difference():
    assert interval([5, 6, 7], [5, 6, 7], [1, 2, 3], ["a", "b", "c"]) == (0, 0, 0)


def test_one_group_alone_is_drawn_by_documents():
    found = interval([9, 12, 10, 7], [10, 10, 10, 10], [10] * 4, ["a"] * 4)
    assert found.low < found.difference < found.high


def test_alike_documents_of_a_group_are_no_more_evidence_than_one():
    generator = np.random.default_rng(0)
    group_effect = generator.normal(0, 1, 30)
    alone = interval(100 + group_effect, np.full(30, 100.0), np.full(30, 50), np.arange(30).astype(str))
    copies = interval(
        100 + np.repeat(group_effect, 20),
        np.full(600, 100.0),
        np.full(600, 50),
        np.repeat(np.arange(30), 20).astype(str),
    )
    assert copies == alone


def test_same_seed_same_bits_in_pieces_or_not(monkeypatch):
    generator = np.random.default_rng(0)
    arguments = generator.normal(100, 5, 40), generator.normal(100, 5, 40), np.full(40, 50), np.arange(40).astype(str)
    whole = interval(*arguments)
    assert interval(*arguments) == whole
    assert interval(*arguments, seed=2) != whole
    monkeypatch.setattr("tasks.distribution.bootstrap._PIECE", 1000)
    assert interval(*arguments) == whole


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_order_of_documents_does_not_matter(order):
    columns = np.array([1.0, 2.0, 3.0, 5.0]), np.full(4, 2.0), np.array([3, 4, 5, 6]), np.array(list("abba"))
    assert interval(*[column[list(order)] for column in columns]) == interval(*columns)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """300 times 60 groups around a true difference of 0.02: 95 % give or take three standard errors (1.3 %)."""
    generator = np.random.default_rng(7)
    hits = 0
    for trial in range(300):
        size = generator.integers(200, 2000, 60)
        champion = 2.0 * size
        candidate = champion + size * generator.normal(0.02, 0.1, 60)
        found = interval(candidate, champion, size, np.arange(60).astype(str), resamples=400, seed=trial)
        hits += found.low <= 0.02 <= found.high
    assert 0.91 <= hits / 300 <= 0.99
