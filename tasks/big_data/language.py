"""A text becomes the language that it is in (ISO 639-1): CLD2 reads its beginning; if short, its source decides.

https://github.com/CLD2Owners/cld2, through pycld2. A short text is often taken for a language that nobody writes here;
so a language that is rare in its source is only believed of a text that is long enough.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pycld2
from numpy.typing import NDArray

from tasks.big_data.vocabulary import STOP_BITS

# More bytes cost time and, measured (docs/your-text.md), change nothing.
_FIRST_BYTES, _READ_BYTES = 250, 500
# From here on CLD2's answer, where it was sure, was right in 99.7 % of measured texts (docs/your-text.md).
LONG_BYTES = 200
# Of the sure documents in a source's most frequent language, for another one to be expected in short texts; and their
# number at least: of few work orders, CLD2 surely takes one for Luxembourgish.
_COMMON_SHARE, _COMMON_DOCUMENTS = 0.05, 3
# Share of a language's stop words from which on CLD2 need not be asked, and how many of the other list may occur, which
# has words that both have ("in", "die", "den").
_MOST_STOP_WORDS, _OTHER_STOP_WORDS = 0.6, 3
_OLD_CODES = {"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro"}


class Guess(NamedTuple):
    """What CLD2 says: "" where it cannot tell."""

    language: str
    sure: bool
    long: bool


class Expected(NamedTuple):
    """Languages of a source: those that are not rare, and the one that most of its documents are in ("": none)."""

    common: tuple[str, ...] = ()
    main: str = ""

    @property
    def is_one(self) -> bool:
        """Whether all short documents are in the main language, whatever they look like."""
        return set(self.common) <= {self.main}


def guesses(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[np.int64], mains: Sequence[str] = ()
) -> list[Guess]:
    """What CLD2 says of these documents.

    Args:
        data: UTF-8 of all documents, one after the other.
        offsets: document i is `data[offsets[i]:offsets[i + 1]]`.
        rows: which documents.
        mains: of each the main language of its source: where the first bytes are surely in it, no more is read.
    """
    whole = data.data
    found = []
    for begin, end, main in zip(
        offsets[rows].tolist(), offsets[rows + 1].tolist(), mains or [""] * len(rows), strict=True
    ):
        if main and end - begin > _READ_BYTES:
            first = guess(beginning(whole[begin:end], _FIRST_BYTES))
            if first.sure and first.language == main:
                found.append(first)
                continue
        found.append(guess(beginning(whole[begin:end], _READ_BYTES)))
    return found


def has_stop_words(bits: NDArray[np.int64], language: str) -> NDArray[np.bool_]:
    """Whether documents are in this language by its stop words alone: most of them occur, few of another list.

    Args:
        bits: of each document the stop words that occur in it, `figures.STOPS`.
        language: one of a source, such as its main one.
    """
    own = STOP_BITS.get(language, 0)
    others = sum(each for code, each in STOP_BITS.items() if code != language)
    least = _MOST_STOP_WORDS * own.bit_count()
    found: NDArray[np.bool_] = np.bitwise_count(bits & own) >= least if own else np.zeros(len(bits), np.bool_)
    return found & (np.bitwise_count(bits & others) <= _OTHER_STOP_WORDS)


def beginning(text: memoryview, most: int) -> bytes:
    """The first bytes, cut after a word, else after a character."""
    cut = bytes(text[:most])
    if len(text) <= most:
        return cut
    space = cut.rfind(b" ")
    return cut[:space] if space > most // 2 else cut.decode("utf-8", "ignore").encode()


def guess(text: bytes) -> Guess:
    """What CLD2 says of UTF-8."""
    try:
        sure, found, details = pycld2.detect(text, isPlainText=True)
    except pycld2.error:  # it takes no control characters
        return Guess("", sure=False, long=False)
    code = _iso(details[0][1])
    return Guess(code, sure=sure and code != "", long=min(found, len(text)) >= LONG_BYTES)


@cache
def _iso(code: str) -> str:
    """ISO 639-1 of a code of CLD2; "" where there is none."""
    code = code.partition("-")[0]
    code = _OLD_CODES.get(code, code)
    return code if len(code) == 2 and code != "un" else ""


def expected(votes: dict[str, int]) -> Expected:
    """From the number of sure documents for each language of a source."""
    total = sum(votes.values())
    most = max(votes.values(), default=0)
    least = max(_COMMON_SHARE * most, min(_COMMON_DOCUMENTS, most))
    common = tuple(sorted(code for code, count in votes.items() if count >= least))
    return Expected(common, next((code for code, count in votes.items() if 2 * count > total), ""))


def language(found: Guess, source: Expected) -> str:
    """Language of a document: its own where that can be told, else the main one of its source; "" if there is none."""
    if found.language and (found.language in source.common or (found.sure and found.long)):
        return found.language
    return source.main
