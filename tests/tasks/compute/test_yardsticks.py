"""Byte n-gram models and xz, the models that ours is compared with."""

import lzma
import math
import random

import numpy as np
import pytest

from tasks.compute import yardsticks
from tasks.compute.yardsticks import ByteModels, xz_bits


def prose(seed: int, words: int) -> bytes:
    rng = random.Random(seed)
    return " ".join(rng.choices(["the", "model", "learns", "from", "text", "and", "shows", "it"], k=words)).encode()


def test_a_text_that_is_known_by_hand():
    """Worked by hand for the first byte of "ab", which has seen "ab" once.

    Bytes a and b follow one distinct byte each (a the start, b an a): counts (1, 1) of unigrams, n1 = 2, n2 to n4
    taken as 1: y = 2 / 4, discount of a count of one: 1 - 2 * 0.5 * 1 / 2 = 0.5. So p1(a) = (0.5 + 2 * 0.5 / 256) / 2.
    The start is the only context of a, seen once, in each longer order: p2 = 0.5 + 0.5 * p1, then so on to the fifth.
    """
    p = (0.5 + 2 * 0.5 / 256) / 2
    first, second = p, p
    for _ in range(2):  # orders 2 and 3
        first = 0.5 + 0.5 * first
        second = 0.5 + 0.5 * second
    expected = -math.log2(first) - math.log2(second)
    assert ByteModels([b"ab"]).bits([b"ab"])[3][0] == pytest.approx(expected)


def test_probabilities_of_all_bytes_add_up_to_one():
    models = ByteModels([prose(1, 200)])
    for context in (b"the mo", b"zz", b""):
        alone = models.bits([context])
        longer = models.bits([context + bytes([byte]) for byte in range(256)])
        for order in yardsticks.ORDERS:
            base = alone[order][0]
            assert np.exp2(base - longer[order]).sum() == pytest.approx(1)


def test_more_context_predicts_better():
    bits = ByteModels([prose(1, 3000)]).bits([prose(2, 300)])
    assert bits[5][0] < bits[3][0] < 8 * len(prose(2, 300))


def test_documents_do_not_see_each_other():
    models = ByteModels([prose(1, 300)])
    one, two = prose(2, 50), prose(3, 70)
    together = models.bits([one, b"", two])
    for order in yardsticks.ORDERS:
        assert together[order][0] == pytest.approx(models.bits([one])[order][0])
        assert together[order][1] == 0
        assert together[order][2] == pytest.approx(models.bits([two])[order][0])


def test_chunks_change_nothing(monkeypatch):
    documents = [prose(seed, 40) for seed in range(20)]
    whole = ByteModels(documents).bits(documents)
    monkeypatch.setattr(yardsticks, "_CHUNK_BYTES", 500)
    cut = ByteModels(documents).bits(documents)
    for order in yardsticks.ORDERS:
        assert cut[order] == pytest.approx(whole[order])


def test_without_text_there_is_no_model():
    with pytest.raises(ValueError, match="found none"):
        ByteModels([b""])


@pytest.mark.parametrize("document", [b"", b"a", prose(1, 20), prose(1, 5000)])
def test_xz_is_as_large_as_with_the_whole_dictionary(document: bytes):
    assert xz_bits(document) == 8 * len(lzma.compress(document, preset=9))
