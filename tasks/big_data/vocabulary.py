"""Words that numba's pass knows, as tables by their hash: stop words by language, English abbreviations."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# Numbers of no meaning, the second odd: the golden ratio, as in SplitMix64.
SEED = 0xCBF29CE484222325
MULTIPLIER = 0x9E3779B97F4A7C15
SLOTS = 1 << 9
_MASK = (1 << 64) - 1

# Gopher's rule (https://arxiv.org/abs/2112.11446, appendix A.1.1) has the English ones; those of other languages are
# their counterparts among the most frequent words. As they stand in a text: a capital letter is another word.
STOPS_BY_LANGUAGE: Mapping[str, tuple[str, ...]] = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),
    "de": ("der", "die", "das", "und", "in", "zu", "den", "mit", "von", "ist", "nicht", "des", "für", "auf"),
}
# Each stop word of a language has a bit of the language's own.
STOP_BITS: dict[str, int] = {}
STOP_WORDS: dict[str, int] = {}
_bit = 0
for _language, _words in STOPS_BY_LANGUAGE.items():
    for _word in _words:
        STOP_WORDS[_word] = STOP_WORDS.get(_word, 0) | 1 << _bit
        STOP_BITS[_language] = STOP_BITS.get(_language, 0) | 1 << _bit
        _bit += 1
STOP_BYTES = max(len(word.encode()) for word in STOP_WORDS)

# spaCy's for English (MIT), and the most frequent German ones: they keep their full stop, which then ends no sentence.
ABBREVIATIONS = dict.fromkeys(
    [
        "Mt.",
        "Ak.",
        "Ala.",
        "Apr.",
        "Ariz.",
        "Ark.",
        "Aug.",
        "Calif.",
        "Colo.",
        "Conn.",
        "Dec.",
        "Del.",
        "Feb.",
        "Fla.",
        "Ga.",
        "Ia.",
        "Id.",
        "Ill.",
        "Ind.",
        "Jan.",
        "Jul.",
        "Jun.",
        "Kan.",
        "Kans.",
        "Ky.",
        "La.",
        "Mar.",
        "Mass.",
        "Mich.",
        "Minn.",
        "Miss.",
        "N.C.",
        "N.D.",
        "N.H.",
        "N.J.",
        "N.M.",
        "N.Y.",
        "Neb.",
        "Nebr.",
        "Nev.",
        "Nov.",
        "Oct.",
        "Okla.",
        "Ore.",
        "Pa.",
        "S.C.",
        "Sep.",
        "Sept.",
        "Tenn.",
        "Va.",
        "Wash.",
        "Wis.",
        "a.m.",
        "Adm.",
        "Bros.",
        "co.",
        "Co.",
        "Corp.",
        "D.C.",
        "Dr.",
        "e.g.",
        "E.g.",
        "E.G.",
        "Gen.",
        "Gov.",
        "i.e.",
        "I.e.",
        "I.E.",
        "Inc.",
        "Jr.",
        "Ltd.",
        "Md.",
        "Messrs.",
        "Mo.",
        "Mont.",
        "Mr.",
        "Mrs.",
        "Ms.",
        "p.m.",
        "Ph.D.",
        "Prof.",
        "Rep.",
        "Rev.",
        "Sen.",
        "St.",
        "vs.",
        "v.s.",
    ],
    1,
)


def hash_of(word: str) -> int:
    """As the compiled pass does it: eight bytes at a time (`octets.py`)."""
    code, data = SEED, word.encode()
    for at in range(0, len(data), 8):
        code = (code ^ int.from_bytes(data[at : at + 8], "little")) * MULTIPLIER & _MASK
        code ^= code >> 32
    return code + len(data) & _MASK


def _slots(words: Mapping[str, int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hash and value of each word, at the place that the last bits of its hash say or the next that is free."""
    codes = np.zeros(SLOTS, np.uint64)
    values = np.zeros(SLOTS, np.uint64)
    for word, value in words.items():
        code = hash_of(word)
        slot = code % SLOTS
        while codes[slot]:
            slot = (slot + 1) % SLOTS
        codes[slot], values[slot] = code, value
    return codes, values


def known_words() -> NDArray[np.uint64]:
    """One table after the other, of `SLOTS` places each: hashes of stop words, their bits, hashes of abbreviations."""
    return np.concatenate([*_slots(STOP_WORDS), _slots(ABBREVIATIONS)[0]])
