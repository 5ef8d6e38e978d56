"""One form of a text, made on bytes, is the one that Python's own functions make."""

import re
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.big_data.normal import COMPOSE, MOJIBAKE, REWRITE, composing, look, normalised, replaced

LINE_ENDS = re.compile("\r\n|[\x0b\x0c]\n?|[\r\x85\u2028\u2029]")
CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
# What the form is about is drawn often enough to meet itself.
SPECIAL = (
    " \t\n\r\x0b\x0c\x00\x1b\x7f\x84\x85\x9f\xa0ae\u0301\u0323é\u1100\u1161가"
    "\u2027\u2028\u2029\u212b\ufeffÃÂâ€¼\U0001f600"
)
TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(SPECIAL)))


def buffers(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    pieces = [text.encode() for text in texts]
    return np.frombuffer(b"".join(pieces), np.uint8), np.cumsum([0, *map(len, pieces)], dtype=np.int64)


def texts_of(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    return [data[low:high].tobytes().decode() for low, high in pairwise(offsets)]


def normalise(texts: list[str], tails: list[bool]) -> list[str]:
    data, offsets = buffers(texts)
    means_nothing = np.array(tails, np.bool_)
    return texts_of(*normalised(data, offsets, look(data, offsets, means_nothing), means_nothing))


def by_the_book(text: str, *, tails: bool) -> str:
    text = CONTROLS.sub("", LINE_ENDS.sub("\n", text))
    if tails:
        text = re.sub("[ \t]+$", "", text, flags=re.MULTILINE)
    end = "\n" if text.endswith("\n") else ""
    text = text.lstrip("\n").rstrip(" \t\n")
    return unicodedata.normalize("NFC", text + end) if text else ""


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("a\x85b\u2028c\u2029d", "a\nb\nc\nd"),
        ("page one\x0c\npage two\x0cpage three", "page one\npage two\npage three"),
        ("\ufeffa\x00b\x1b[0mc\x7f\x9f", "ab[0mc"),
        ("e\u0301", "é"),
        ("e\x00\u0301", "é"),
        ("a \t\nb\t", "a\nb"),
        ("a \x00\nb", "a\nb"),
        ("\n\n a\n\n\n", " a\n"),
        ("tab\tstays", "tab\tstays"),
        (" \n\t\r\n", ""),
        ("", ""),
    ],
)
def test_one_form_of_a_text(raw, clean):
    assert normalise(["before", raw, "after"], [True] * 3) == ["before", clean, "after"]


def test_white_space_that_may_mean_something_stays():
    assert normalise(["a  \nb\n", "a  \nb \n"], [False, False]) == ["a  \nb\n", "a  \nb\n"]


@settings(deadline=None)  # the first one compiles
@given(st.lists(st.tuples(TEXTS, st.booleans()), max_size=6))
@example([("\n", False), (" ", True), ("a\n ", False), ("\r\n\x0c\n\u0301", True)])
def test_the_form_is_that_of_the_book_and_stays_as_it_is(drawn):
    raw, tails = [text for text, _ in drawn], [tail for _, tail in drawn]
    once = normalise(raw, tails)
    assert once == [by_the_book(text, tails=tail) for text, tail in drawn]
    assert normalise(once, tails) == once


@settings(deadline=None)  # the first one compiles
@given(TEXTS, st.booleans())
def test_a_document_that_is_not_flagged_needs_nothing(text, tails):
    data, offsets = buffers([text])
    if not look(data, offsets, np.array([tails]))[0] & (REWRITE | COMPOSE):
        assert by_the_book(text, tails=tails) == text


def test_ordinary_text_is_not_flagged():
    texts = [
        "Plain text.\nTwo lines.\n",
        "Größe, naïve, œuvre, Øre, 20 €, ½ – „ja“",
        "Привет, 日本語, 한국어, 😀",
        "ÃO Â â",
    ]
    data, offsets = buffers(texts)
    assert look(data, offsets, np.ones(len(texts), np.bool_)).tolist() == [0] * len(texts)


def test_every_character_that_composes_or_decomposes_is_known():
    table = composing()
    for code in (code for code in range(0x10000) if not 0xD800 <= code < 0xE000):
        character = chr(code)
        if unicodedata.combining(character) or unicodedata.normalize("NFC", character) != character:
            assert table[code] or code < 0x300, hex(code)
    # Whatever two characters compose to, the second is known.
    for code in range(0x110000):
        pair = unicodedata.decomposition(chr(code)).split()
        if len(pair) == 2 and pair[0][0] != "<" and int(pair[1], 16) < 0x10000:
            assert table[int(pair[1], 16)], hex(code)


def test_what_looks_like_mojibake_is_flagged():
    for damaged in ("fÃ¼r", "GrÃ¶ÃŸe", "itâ€™s", "Ã\x9f", "5Â°", "â\x80\x93"):
        data, offsets = buffers([damaged])
        assert look(data, offsets, np.ones(1, np.bool_))[0] & MOJIBAKE, damaged


@settings(deadline=None)  # the first one compiles
@given(st.lists(st.binary(max_size=5), max_size=8), st.data())
def test_some_documents_are_replaced_and_the_others_stay(pieces, drawn):
    new = drawn.draw(st.dictionaries(st.sampled_from(range(len(pieces))), st.binary(max_size=5))) if pieces else {}
    # As a slice of a longer buffer has it.
    data = np.frombuffer(b"xx" + b"".join(pieces), np.uint8)
    offsets = 2 + np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    out, ends = replaced(data, offsets, dict(sorted(new.items())))
    found = [out[low:high].tobytes() for low, high in pairwise(ends)]
    assert found == [new.get(row, piece) for row, piece in enumerate(pieces)]
