"""The compiled pass: its words one by one, and its figures against plain Python on random texts."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data import kernel
from tasks.big_data.figures import CURLY_BRACKETS, FIELDS
from tasks.big_data.kernel import c4_lines, statistics


def buffers(*texts: str):
    encoded = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in encoded])]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def figures(text: str) -> dict[str, int]:
    return dict(zip(FIELDS, statistics(*buffers(text))[0].tolist(), strict=True))


def test_there_is_a_place_for_each_figure():
    assert len(FIELDS) == len(set(FIELDS)) == CURLY_BRACKETS + 1


@pytest.mark.parametrize(
    "module", ["c4", "characters", "figures", "octets", "passes", "repetition", "signs", "vocabulary", "words"]
)
def test_machine_code_is_made_anew_when_what_it_is_made_of_is_another(module):
    """`compiled.kernels_digest` goes by the modules that name numba."""
    assert "numba" in Path(kernel.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world!", "Hello | , | world | !"),
        ("(see above).", "( | see | above | ) | ."),
        ("Mr. Smith left at 5 p.m. today.", "Mr. | Smith | left | at | 5 | p.m. | today | ."),
        ("don't we'll it's dogs' I'd", "do | n't | we | 'll | it | 's | dogs | ' | I | 'd"),
        ("well-known pre-1990 2010-12 a--b", "well | - | known | pre-1990 | 2010 | - | 12 | a | -- | b"),
        ("and/or 10/12 1,000 a,b x=y", "and | / | or | 10/12 | 1,000 | a | , | b | x | = | y"),
        ("foo_bar self.foo(bar) _x", "foo_bar | self.foo(bar | ) | _ | x"),
        ("http://example.org/a,b?c=d.", "http://example.org/a,b?c=d | ."),
        ("wait... so.. e.g. U.S. NATO.", "wait | ... | so | .. | e.g. | U.S. | NATO | ."),
        ("„Größe“ – 5 € → ja…", "„ | Größe | “ | – | 5 | € | → | ja | …"),
        ("a\u00a0b\u2003c", "a | b | c"),
        ("100% $5 5$ +5 -x", "100 | % | $ | 5 | 5 | $ | +5 | -x"),
    ],
)
def test_words_are_parted_as_by_spacy(text, words):
    """The expected words are those of spaCy 3.8, `spacy.blank("en")`, in which 'and/or' alone stays one."""
    expected = words.split(" | ")
    found = figures(text)
    assert (found["words"], found["word_characters"]) == (len(expected), sum(map(len, expected)))


WORD = st.sampled_from(["a", "be", "cat", "dogs", "ünder", "ﬁx", "字"])
LINE = st.lists(WORD, max_size=12).map(" ".join)
TEXT = st.lists(LINE, max_size=12).map("\n".join)


@given(TEXT)
def test_figures_are_those_of_plain_python(text):
    found, words = figures(text), text.split()
    lines = re.split("\n+", text)
    paragraphs = re.split("\n{2,}", text.strip()) if text.strip() else []
    assert found["characters"] == len(text)
    assert (found["words"], found["word_characters"]) == (len(words), sum(map(len, words)))
    assert (found["lines"], found["line_feeds"]) == (len(text.splitlines()), text.count("\n"))
    assert found["alphanumerics"] == sum(map(str.isalnum, text))
    assert found["longest_line"] == max(map(len, text.split("\n")))
    if text:
        assert found["written_lines"] == len(lines)
    assert found["repeated_line_characters"] == repeated(lines)[1]
    assert found["paragraphs"] == len(paragraphs)
    assert (found["repeated_paragraphs"], found["repeated_paragraph_characters"]) == repeated(paragraphs)
    assert found["short_lines"] == sum(0 < len(line) <= 30 for line in lines)
    for n in range(2, 5):
        assert found[f"top_{n}"] == top([" ".join(words[i : i + n]) for i in range(len(words) - n + 1)])
    for n in range(5, 11):
        assert found[f"repeated_{n}"] == repeated_ngrams(words, n)


@given(TEXT, st.floats(0, 1))
def test_ngrams_are_counted_where_they_may_be_more_than_the_share_that_is_harmless(text, share):
    data, offsets = buffers(text)
    whole, some = (statistics(data, offsets, given) for given in (None, np.array([share])))
    counted = [name for name in FIELDS if name.startswith(("top_", "repeated_")) and name[-1].isdigit()]
    assert len(counted) == 9
    if some[0] != whole[0]:
        assert all(some[0][name] == 0 for name in counted)
        assert max(whole[0][f"repeated_{n}"] for n in range(5, 11)) <= share * len(text)
    assert [some[0][name] for name in FIELDS if name not in counted] == [
        whole[0][name] for name in FIELDS if name not in counted
    ]


def test_a_document_without_repeats_is_not_counted_and_one_of_repeats_is():
    texts = [" ".join(f"word{number}" for number in range(500)), "the same six words once more, " * 100]
    few, many = statistics(*buffers(*texts), np.array([0.5, 0.5]))
    assert (few["top_2"], few["repeated_5"]) == (0, 0)
    assert many == statistics(*buffers(texts[1]))[0]


def repeated(units: list[str]) -> tuple[int, int]:
    again = [unit for index, unit in enumerate(units) if unit in units[:index]]
    return len(again), sum(map(len, again))


def top(ngrams: list[str]) -> int:
    if not ngrams:
        return 0
    ngram, count = Counter(ngrams).most_common(1)[0]
    return len(ngram) * count


def repeated_ngrams(words: list[str], n: int) -> int:
    seen, found, i = set(), 0, 0
    while i + n <= len(words):
        ngram = tuple(words[i : i + n])
        if ngram in seen:
            found, i = found + sum(map(len, ngram)), i + n
        else:
            seen.add(ngram)
            i += 1
    return found


@given(st.lists(st.text(), max_size=5))
def test_a_document_has_the_same_figures_alone_and_among_others(texts):
    together = statistics(*buffers(*texts))
    alone = [statistics(*buffers(text))[0] for text in texts]
    assert together.tolist() == [each.tolist() for each in alone]


@given(st.lists(st.sampled_from([b"\xa0", b".", b"\xe2\x80", b"\xff", b"\xc0\xae", b"a", b" ", b"'"]), max_size=20))
def test_bytes_that_are_no_text_are_taken(pieces):
    data = b"".join(pieces)
    assert statistics(np.frombuffer(data, np.uint8), np.array([0, len(data)]))["words"][0] <= len(data)


def test_a_long_text_and_a_part_without_end_are_taken():
    found = figures("word " * 50_000 + "x" * 200_000 + "(" * 50_000 + " a" * 3)
    assert found["words"] == 50_000 + 1 + 3


def test_c4_keeps_lines_that_are_sentences():
    text = (
        "A heading\nThis line is kept.\nToo short.\nPlease enable JavaScript now.\nThis site uses cookies for fun!\n"
        f'One word {"x" * 1001} is long.\nMore to come...\n\nAnd it ends with a source.[12]\n  An indented "one."  '
    )
    data, ends, before = c4_lines(*buffers(text, "nothing", "Here is one more."))
    kept = [bytes(data[a:b]).decode() for a, b in pairwise(ends)]
    assert kept == [
        'This line is kept.\nAnd it ends with a source.[12]\nAn indented "one."', "", "Here is one more.",
    ]  # fmt: skip
    record = dict(zip(FIELDS, before[0].tolist(), strict=True))
    assert {name: record[name] for name in FIELDS if name.startswith("c4_")} == {
        "c4_long_word": 1, "c4_no_end": 2, "c4_few_words": 1, "c4_javascript": 1, "c4_policy": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("We have terms of use here.", "c4_policy"),
        ("We have a privacy policy.", "c4_policy"),
        ("Our Cookie Policy is here.", "c4_policy"),
        ("The use of cookies is bad.", "c4_policy"),
        ('They use cookies (all)."', "c4_policy"),
        ("It is text/javascript in it.", "c4_javascript"),
        ("Here is lorem ipsum for you.", "lorem_ipsum"),
    ],
)
def test_phrases_are_found_in_any_case_and_not_across_lines(line, column):
    assert figures(line)[column] == figures(line.upper())[column] == 1
    assert figures(line.replace(" ", "\n"))[column] == (column == "nothing")
