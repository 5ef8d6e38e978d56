"""What C4 makes of a line: whether it is kept, and what it says that counts against its document; for numba's pass."""

import numpy as np
from numpy.typing import NDArray

from tasks.big_data.figures import (
    C4_FEW_WORDS,
    C4_JAVASCRIPT,
    C4_LONG_WORD,
    C4_NO_END,
    C4_POLICY,
    CURLY_BRACKETS,
    LOREM_IPSUM,
    SENTENCES,
    Bytes,
    Ints,
)
from tasks.big_data.passes import part_of_a_pass, step_of_a_pass

LINE_WORDS = 3
WORD_CHARACTERS = 1000


def _phrase(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_JAVASCRIPT, _COOKIE, _PRIVACY, _POLICY = map(_phrase, ("javascript", "cookie", "privacy", " policy"))
_OF, _USE, _USES, _TERMS, _OF_USE = map(_phrase, ("use of ", "use ", "uses ", "terms ", " use"))
_LOREM, _IPSUM, _EDIT, _NEEDED = map(_phrase, ("lorem", " ipsum", "[edit]", "[citation needed]"))


@part_of_a_pass
def _is(data: Bytes, i: int, end: int, phrase: Bytes) -> bool:
    """Whether a phrase in lower case stands at i, in any case."""
    if i < 0 or i + len(phrase) > end:
        return False
    for j in range(len(phrase)):
        byte = data[i + j]
        if 65 <= byte <= 90:
            byte |= 0x20
        if byte != phrase[j]:
            return False
    return True


@step_of_a_pass
def is_of(data: Bytes, begin: int) -> bool:
    """Whether "of" stands here."""
    return data[begin] | 0x20 == 111 and data[begin + 1] | 0x20 == 102


@step_of_a_pass
def may_be_phrase(word: np.uint64, size: int) -> bool:
    """Whether a word of fewer than eight letters, in the lowest bytes of a number, is "of" or ends in "lorem"."""
    folded = word | np.uint64(0x2020202020202020)
    if size < 5:
        return bool(size == 2 and folded & np.uint64(0xFFFF) == 0x666F)
    return bool(folded >> np.uint64(8 * (size - 5)) & np.uint64(0xFFFFFFFFFF) == 0x6D65726F6C)


@part_of_a_pass
def phrases(data: Bytes, begin: int, end: int, line: int, stop: int) -> int:
    """What C4 looks for that has a word in this part: 1 JavaScript, 2 a policy, 4 lorem ipsum; 8 is a curly bracket."""
    found = 0
    if data[end - 1] | 0x20 == 109 and _is(data, end - 5, end, _LOREM) and _is(data, end, stop, _IPSUM):
        found |= 4
    if end - begin == 2 and is_of(data, begin) and begin - 6 >= line:
        found |= 2 * (_is(data, begin - 6, end, _TERMS) and _is(data, end, stop, _OF_USE))
    for i in range(begin, end):
        letter = data[i] | 0x20
        if letter == 106:
            found |= _is(data, i, end, _JAVASCRIPT)
        elif letter == 112:
            found |= 2 * (_is(data, i, end, _PRIVACY) and _is(data, i + 7, stop, _POLICY))
        elif letter == 99 and _is(data, i, end, _COOKIE):
            if _is(data, i + 6, stop, _POLICY):
                found |= 2
            elif i + 6 < end and data[i + 6] | 0x20 == 115:
                for phrase in (_OF, _USE, _USES):
                    found |= 2 * (i - len(phrase) >= line and _is(data, i - len(phrase), i, phrase))
    return found


@part_of_a_pass
def c4_keeps(
    data: Bytes, first: int, last: int, chunks: int, longest: int, rare: int, sentences: int, row: Ints,
) -> bool:  # fmt: skip
    """Whether C4 keeps a line; if not, or if it is against the document, that is counted."""
    if longest > WORD_CHARACTERS:
        row[C4_LONG_WORD] += 1
        return False
    while last > first and data[last - 1] == 93:
        i = last - 1
        while i > first and 48 <= data[i - 1] <= 57:
            i -= 1
        if i > first and data[i - 1] == 91:
            last = i - 1
        elif _is(data, last - 6, last, _EDIT) and last - 6 >= first:
            last -= 6
        elif _is(data, last - 17, last, _NEEDED) and last - 17 >= first:
            last -= 17
        else:
            break
    byte = data[last - 1] if last > first else 0
    ends = byte == 46 or byte == 63 or byte == 33 or byte == 34 or byte == 39
    if not ends or (byte == 46 and last - first > 2 and data[last - 2] == 46 and data[last - 3] == 46):
        row[C4_NO_END] += 1
        return False
    if chunks < LINE_WORDS:
        row[C4_FEW_WORDS] += 1
        return False
    if rare & 4:
        row[LOREM_IPSUM] += 1
    if rare & 1:
        row[C4_JAVASCRIPT] += 1
        return False
    row[CURLY_BRACKETS] += rare & 8 != 0
    if rare & 2:
        row[C4_POLICY] += 1
        return False
    row[SENTENCES] += sentences
    return True
