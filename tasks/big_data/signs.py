"""Parts of a text that are a word with signs around it become words, as `words.py` has it, but faster; by numba."""

import numpy as np

from tasks.big_data.characters import AFTER, BEFORE, PUNCTUATION, SENTENCE_END
from tasks.big_data.figures import (
    ALPHANUMERICS,
    COUNT,
    ENDED,
    ENDS,
    HASHES,
    LETTERLESS_WORDS,
    STOPS,
    SYMBOL_CHARACTERS,
    SYMBOL_WORDS,
    Bits,
    Bytes,
    Codes,
    Ints,
)
from tasks.big_data.octets import eight, has_letter, hash_of, hash_of_few, letters_and_digits
from tasks.big_data.passes import step_of_a_pass
from tasks.big_data.vocabulary import STOP_BYTES
from tasks.big_data.words import is_short, stop_bits


@step_of_a_pass
def _note_sign(sign: int, kind: np.uint16, row: Ints, codes: Codes, places: Ints) -> None:
    """Note a word that is one sign of ASCII."""
    n = row[COUNT]
    codes[n], places[n + 1], row[COUNT] = hash_of_few(np.uint64(sign), 1), places[n] + 1, n + 1
    row[HASHES] += sign == 0x23
    row[SYMBOL_WORDS] += 1
    row[SYMBOL_CHARACTERS] += 1
    row[LETTERLESS_WORDS] += 1
    if kind & SENTENCE_END:
        row[ENDED] = 1
    elif row[ENDED] and not kind & PUNCTUATION:
        row[ENDED] = 0
        row[ENDS] += 1


@step_of_a_pass
def note_simple(
    data: Bytes, begin: int, end: int, row: Ints, codes: Codes, places: Ints, of_point: Bits, known: Codes,
) -> bool:  # fmt: skip
    """Words of a part of ASCII as `note_part` notes them, if it is letters and digits with signs only around them."""
    core = begin
    while core < end and of_point[data[core]] & BEFORE:
        core += 1
    after, run = core, 8
    while run == 8 and after < end:
        run = letters_and_digits(eight(data, after))
        after += run
    after = min(after, end)
    for i in range(after, end):
        byte = data[i]
        if byte == 46:
            last = data[i - 1]
            if (
                i == core
                or 65 <= last <= 90
                or (i + 1 < end and data[i + 1] == 46)
                or is_short(data, core, i + 1, known)
            ):
                return False
        elif not of_point[byte] & AFTER:
            return False
    for i in range(begin, core):
        _note_sign(data[i], of_point[data[i]], row, codes, places)
    if after > core:
        n, code, size = row[COUNT], hash_of(data, core, after), after - core
        codes[n], places[n + 1], row[COUNT] = code, places[n] + size, n + 1
        row[ALPHANUMERICS] += size
        row[LETTERLESS_WORDS] += not has_letter(data, core, after)
        if row[ENDED]:
            row[ENDED] = 0
            row[ENDS] += 1
        if size <= STOP_BYTES:
            row[STOPS] |= stop_bits(known, code)
    for i in range(after, end):
        _note_sign(data[i], of_point[data[i]], row, codes, places)
    return True
