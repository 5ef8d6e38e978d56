"""Unicode's tables become arrays that numba reads: what each character is to the rule for words and to the rules.

The rule for words follows the tokenizer for English of spaCy 3.8 (MIT), by which datatrove counts
(https://spacy.io/usage/linguistic-features#how-tokenizer-works): white space parts, punctuation at either end of a part
is a word each, and within it a few signs part two words. What is left out is named in benchmarks/README.md.
"""

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Bits of a character.
LETTER, UPPER, DIGIT, SPACE, NEWLINE, SYMBOL, BEFORE, AFTER = (1 << bit for bit in range(8))
PUNCTUATION, SENTENCE_END, HYPHEN, ICON, QUOTE, CURRENCY, RARE, HIGH = (1 << bit for bit in range(8, 16))
PLANES = 0x20000  # what lies above is Chinese, a letter each

# Unicode 16, PropList.txt: Sentence_Terminal; in ranges, as there.
_SENTENCE_ENDS = "CE"
# Signs that are no part of a word's length, beside ASCII's and control characters.
_SYMBOLS = "—”：％１〈、━【「」，】；《„’∶´（–？！：～«〉》）。…►»“"
_BEFORE = "§%=—–…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_AFTER = "—–…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCY = "$£€¥฿₽₩₹₴₺₿﷼"
_HYPHENS = "-–—~"
# Letters that are rare and stand in what C4 looks for: JavaScript, cookies, privacy.
_RARE = "jJkKvV"


class Classes(NamedTuple):
    """Bits of each byte on its own, and of each code point below `PLANES`."""

    of_byte: NDArray[np.uint16]
    of_point: NDArray[np.uint16]


@cache
def classes() -> Classes:
    """The tables; made once a process."""
    of_point = np.fromiter((_bits(chr(point)) for point in range(PLANES)), np.uint16, PLANES)
    for span in _SENTENCE_ENDS.split():
        first, _, last = span.partition("-")
        of_point[int(first, 16) : int(last or first, 16) + 1] |= SENTENCE_END | SYMBOL
    for characters, bits in (
        (_SYMBOLS, SYMBOL), (_BEFORE, BEFORE), (_AFTER, AFTER), (_QUOTES, QUOTE | BEFORE | AFTER),
        (_CURRENCY, CURRENCY | BEFORE), (_HYPHENS, HYPHEN), (_RARE, RARE),
    ):  # fmt: skip
        of_point[[ord(character) for character in characters]] |= bits
    of_byte = of_point[:256].copy()
    of_byte[128:] = HIGH
    of_point.flags.writeable = of_byte.flags.writeable = False
    return Classes(of_byte, of_point)


def _bits(character: str) -> int:
    """What Unicode itself says of a character."""
    if character == "\n":
        return SPACE | NEWLINE
    if character.isspace():
        return SPACE
    if character.isalpha():
        return LETTER | (UPPER if character.isupper() else 0)
    if character.isalnum():
        return DIGIT
    category = unicodedata.category(character)
    if category == "So":
        return ICON | BEFORE | AFTER if character != "°" else 0
    control = SYMBOL if category == "Cc" else 0
    ascii_sign = SYMBOL if character.isascii() else 0
    return control | ascii_sign | (PUNCTUATION if category[0] == "P" else 0)
