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
_SENTENCE_ENDS = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 "
    "17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F "
    "203C-203D 2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F "
    "A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 "
    "11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C "
    "115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 "
    "11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88"
)
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
