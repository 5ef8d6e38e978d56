"""Words, n-grams and blocks as Python would find them, whatever the script; the longest runs stay linear."""

import itertools
import re
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.big_data import grams
from tasks.big_data.buffers import text_buffers

ALONE = re.compile("[\u3040-\u9fff\U00020000-\U0003ffff]")
CHARACTERS = st.one_of(
    st.sampled_from(list("abAB_19 .,-\n\n\t")),
    st.sampled_from(["ä", "Ä", "ß", "Σ", "ς", "И", "é", "e\u0301", "\u00a0", "\u0085", "×", "»", "\u2028", "’", "—"]),
    st.sampled_from(["漢", "字", "か", "한", "ก", "ะ", "\u3000", "。", "🙂", "𠮷", "𝒳", "\uff0c", "\ufffd"]),
)
TEXTS = st.lists(CHARACTERS, max_size=60).map("".join)


def words_of(text: str) -> list[str]:
    """By the definition in `grams.py`."""
    found, word = [], ""
    for character in text:
        code = ord(character)
        letter = code < 0x2000 or 0x2C00 <= code < 0x3000 or 0xA000 <= code < 0xE000 or 0xF900 <= code < 0xFF00
        is_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
        if is_word and not ALONE.match(character) and (letter or code >= 0xFF10):
            folded = character.casefold() if code < 0x800 else character
            word += folded if len(folded) == 1 else character
            continue
        found += [word] if word else []
        word = ""
        if ALONE.match(character):
            found.append(character)
    return found + ([word] if word else [])


def ngrams(text: str, length: int = 5) -> set[tuple[str, ...]]:
    words = words_of(text)
    return set(zip(*(words[i:] for i in range(length)), strict=False)) if len(words) >= length else set()


def sketch(texts: list[str], least: int = 0):
    data, offsets = text_buffers(pl.Series(texts, dtype=pl.String))
    n = len(texts)
    counts, keys, bands = np.empty(n, np.int64), np.empty((n, 2), np.uint64), np.empty((grams.BANDS, n), np.uint64)
    room = len(data) // least + 1 if least else 1
    blocks = np.empty(room, np.uint64), np.empty(room, np.uint64)
    n_blocks = grams.sketch_texts(data, offsets, least, counts, keys, bands, *blocks)
    return counts, keys, bands, blocks[0][:n_blocks], blocks[1][:n_blocks]


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
@example(["", "one", "x" * 50])
def test_words_are_those_of_the_definition(texts):
    counts, *_ = sketch(texts)
    assert counts.tolist() == [len(words_of(text)) for text in texts]


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=6))
def test_shared_ngrams_are_those_of_the_sets(texts):
    found, ends = grams.distinct_grams(*text_buffers(pl.Series(texts)), np.arange(len(texts)), 5)
    sets = [ngrams(text) for text in texts]
    assert np.diff(ends).tolist() == [len(each) for each in sets]
    pairs = list(itertools.product(range(len(texts)), repeat=2))
    first, second = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    shared = grams.shared_grams(found, ends, first, second)
    assert shared.tolist() == [len(sets[one] & sets[other]) for one, other in pairs]


@settings(deadline=None)
@given(TEXTS, TEXTS)
@example("Ä b", "ä\n\nB ")
@example("a.b", "a b")
@example("ab", "a b")
def test_a_key_is_shared_by_what_differs_in_white_space_and_case_alone(one, other):
    def same(text):
        return " ".join("".join(c.casefold() if len(c.casefold()) == 1 and c < "\u0800" else c for c in text).split())

    _, keys, *_ = sketch([one, other])
    assert (keys[0] == keys[1]).all() == (same(one) == same(other))


@settings(deadline=None)
@given(TEXTS)
@example("\n\none\n \t\ntwo\n\n")
def test_blocks_stand_between_blank_lines(text):
    found = grams.blocks_of(*text_buffers(pl.Series([text])), 0)
    data = text.encode()
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]
    assert [data[int(start) : int(end)].decode() for start, end, _ in found] == blocks


def test_blocks_of_so_many_bytes_are_sketched():
    texts = ["short\n\nlong enough to be one", "LONG enough\nto be  one\n\nmore"]
    *_, keys, rows = sketch(texts, least=10)
    assert rows.tolist() == [0, 1]
    assert keys[0] == keys[1]


def test_a_text_of_fewer_than_five_words_has_no_band():
    _, _, bands, *_ = sketch(["four words are few", "but five words are enough"])
    assert (bands[:, 0] == 0).all()
    assert (bands[:, 1] != 0).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 8), st.randoms())
def test_pairs_of_short_runs_are_all_and_of_long_runs_those_with_the_best(keys, most, random):
    packed = np.sort(np.array([(key + 1 << 6) | place for place, key in enumerate(keys)], np.uint64))
    best = np.array(random.sample(range(100), len(keys)), np.uint64)
    pairs = grams.pairs_of_runs(packed, 6, most, best)
    expected = set()
    for key in set(keys):
        run = [place for place, other in enumerate(keys) if other == key]
        heads = run if len(run) <= most else sorted(run, key=lambda place: best[place])[:most]
        expected |= {(min(one, other), max(one, other)) for one in heads for other in run if one != other}
    assert sorted((int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in pairs) == sorted(expected)


@settings(deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30), st.randoms())
def test_each_text_is_kept_or_has_a_better_kept_neighbour(n, pairs, random):
    pairs = [(one % n, other % n) for one, other in pairs if one % n != other % n]
    both = sorted({*pairs, *((other, one) for one, other in pairs)})
    starts = np.searchsorted(np.array([one for one, _ in both], np.int64), np.arange(n + 1))
    order = random.sample(range(n), n)
    keeper = grams.chosen_keepers(np.array(order), starts, np.array([other for _, other in both], np.int64))
    kept = [text for text in range(n) if keeper[text] == -1]
    assert not {(one, other) for one, other in both if one in kept and other in kept}
    for text in set(range(n)) - set(kept):
        assert keeper[text] in kept
        assert (text, keeper[text]) in both
        assert order.index(keeper[text]) < order.index(text)


@settings(deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_groups_are_those_of_the_smallest_reachable(n, pairs):
    pairs = [(one % n, other % n) for one, other in pairs]
    root = list(range(n))
    for _ in range(n):
        for one, other in pairs:
            root[one] = root[other] = min(root[one], root[other])
    first, second = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    assert grams.grouped(n, first, second).tolist() == root


@pytest.mark.parametrize("size", [0, 1, 100, 20_000])
def test_no_key_that_is_there_twice_is_missed_and_few_others_are_sorted(size):
    draw = np.random.default_rng(size)
    keys = draw.integers(1, 2**64, size, np.uint64)
    keys[size - size // 4 :] = draw.choice(keys, size // 4) if size > 4 else 0
    keys[::7] = 0
    found = grams.likely_repeated(keys)
    value, count = np.unique(keys[keys != 0], return_counts=True)
    repeated = np.flatnonzero(np.isin(keys, value[count > 1]))
    assert np.isin(repeated, found).all()
    assert (np.diff(found) > 0).all()
    assert (keys[found] != 0).all()
    assert len(found) - len(repeated) <= size // 8
