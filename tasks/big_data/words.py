"""Parts of a text become words, as spaCy's tokenizer for English makes them (`characters.py`); compiled by numba."""

from typing import Any

import numpy as np

from tasks.big_data.characters import (
    AFTER,
    BEFORE,
    CURRENCY,
    DIGIT,
    HYPHEN,
    ICON,
    LETTER,
    PLANES,
    PUNCTUATION,
    QUOTE,
    SENTENCE_END,
    SPACE,
    SYMBOL,
    UPPER,
)
from tasks.big_data.figures import (
    ALPHANUMERICS,
    COUNT,
    ELLIPSES,
    ENDED,
    ENDS,
    HASHES,
    LETTERLESS_WORDS,
    REPLACEMENTS,
    STOPS,
    SYMBOL_CHARACTERS,
    SYMBOL_WORDS,
    Bits,
    Bytes,
    Codes,
    Ints,
)
from tasks.big_data.octets import hash_of
from tasks.big_data.passes import part_of_a_pass, step_of_a_pass
from tasks.big_data.vocabulary import SLOTS


@step_of_a_pass
def stop_bits(known: Codes, code: np.uint64) -> Any:
    """Bits of a word as a stop word, none if it is none."""
    slot = np.int64(code & np.uint64(SLOTS - 1))
    while known[slot] != code and known[slot] != 0:
        slot = slot + 1 & SLOTS - 1
    return np.int64(known[SLOTS + slot])


@step_of_a_pass
def is_abbreviation(known: Codes, code: np.uint64) -> bool:
    """Whether a word is one that keeps its full stop."""
    slot = np.int64(code & np.uint64(SLOTS - 1))
    while known[2 * SLOTS + slot] != code and known[2 * SLOTS + slot] != 0:
        slot = slot + 1 & SLOTS - 1
    return bool(known[2 * SLOTS + slot] == code)


@part_of_a_pass
def continuations(data: Bytes, begin: int, end: int) -> int:
    """Bytes that begin no character."""
    found = 0
    for i in range(begin, end):
        found += data[i] & 0xC0 == 0x80
    return found


@step_of_a_pass
def _point(data: Bytes, i: int, end: int) -> tuple[Any, Any]:
    """Code point that begins at i, and its bytes; what is no UTF-8 is one byte of U+FFFD."""
    first = np.int64(data[i])
    if first < 0x80:
        return first, 1
    if first >= 0xC2 and i + 1 < end:
        point = first & 0x1F
        size = 2 + (first >= 0xE0) + (first >= 0xF0)
        if size > 2:
            point = first & (0x0F if size == 3 else 0x07)
        if i + size <= end:
            for j in range(i + 1, i + size):
                point = point << 6 | np.int64(data[j]) & 0x3F
            if point >= (0x80 if size == 2 else 0x800 if size == 3 else 0x10000):
                return point, size
    return np.int64(0xFFFD), 1


@step_of_a_pass
def kind_at(data: Bytes, i: int, end: int, of_point: Bits) -> Any:
    """Bits of the character at i, none beyond the end."""
    if i >= end:
        return np.uint16(0)
    point, _ = _point(data, i, end)
    return of_point[point] if point < PLANES else np.uint16(LETTER)


@step_of_a_pass
def last_at(data: Bytes, begin: int, end: int) -> int:
    """Where the last character of a part begins."""
    i = end - 1
    while i > begin and data[i] & 0xC0 == 0x80:
        i -= 1
    return i


@part_of_a_pass
def note_word(
    data: Bytes, begin: int, end: int, row: Ints, codes: Codes, places: Ints, of_point: Bits, known: Codes,
) -> None:  # fmt: skip
    """Note one word."""
    code, kinds, every, characters, i = hash_of(data, begin, end), np.uint16(0), np.uint16(0xFFFF), 0, begin
    while i < end:
        point, size = _point(data, i, end)
        kind = of_point[point] if point < PLANES else np.uint16(LETTER)
        kinds |= kind
        every &= kind
        row[ALPHANUMERICS] += kind & (LETTER | DIGIT) != 0
        row[REPLACEMENTS] += point == 0xFFFD
        row[HASHES] += point == 0x23
        row[ELLIPSES] += point == 0x2026
        characters += 1
        i += size
    if data[begin] == 46 and end - begin > 2 and not kinds & LETTER:
        row[ELLIPSES] += (end - begin) // 3
    n = row[COUNT]
    codes[n], places[n + 1], row[COUNT] = code, places[n] + characters, n + 1
    if every & SYMBOL:
        row[SYMBOL_WORDS] += 1
        row[SYMBOL_CHARACTERS] += characters
    if not kinds & LETTER:
        row[LETTERLESS_WORDS] += 1
    if characters == 1 and every & SENTENCE_END:
        row[ENDED] = 1
    elif row[ENDED] and not every & PUNCTUATION:
        row[ENDED] = 0
        row[ENDS] += 1
    row[STOPS] |= stop_bits(known, code)


@part_of_a_pass
def note_parts(
    data: Bytes, begin: int, end: int, row: Ints, codes: Codes, places: Ints, of_point: Bits, known: Codes,
) -> int:  # fmt: skip
    """Words of a part that may have blanks beyond ASCII in it; how many more parts that makes."""
    found, part, i = 0, begin, begin
    while i < end:
        point, size = _point(data, i, end)
        if point < PLANES and of_point[point] & SPACE:
            if i > part:
                note_part(data, part, i, row, codes, places, of_point, known)
                found += 1
            part = i + size
        i += size
    if end > part:
        note_part(data, part, end, row, codes, places, of_point, known)
        found += 1
    return found - 1


@step_of_a_pass
def _dots(data: Bytes, i: int, end: int) -> int:
    """Full stops one after the other."""
    j = i
    while j < end and data[j] == 46:
        j += 1
    return j - i


@step_of_a_pass
def _apostrophe(data: Bytes, begin: int, i: int) -> int:
    """Bytes of the apostrophe that ends before i."""
    if i > begin and data[i - 1] == 39:
        return 1
    return 3 * (i - 2 > begin and data[i - 3] == 0xE2 and data[i - 2] == 0x80 and data[i - 1] == 0x99)


@part_of_a_pass
def note_part(
    data: Bytes, begin: int, end: int, row: Ints, codes: Codes, places: Ints, of_point: Bits, known: Codes,
) -> None:  # fmt: skip
    """Words of a part without blanks: signs before, what is between them, signs after."""
    i = begin
    while i < end:
        point, size = _point(data, i, end)
        kind = of_point[point] if point < PLANES else np.uint16(LETTER)
        if point == 46:
            size = _dots(data, i, end)
            if size == 1:
                break
        elif point == 43:
            if kind_at(data, i + 1, end, of_point) & DIGIT:
                break
        elif not kind & BEFORE:
            break
        note_word(data, i, i + size, row, codes, places, of_point, known)
        i += size
    if i >= end:
        return
    core = _core_end(data, i, end, of_point, known)
    contraction = _contraction(data, i, core)
    _core(data, i, core - contraction, row, codes, places, of_point, known)
    if contraction:
        note_word(data, core - contraction, core, row, codes, places, of_point, known)
    i = core
    while i < end:
        point, size = _point(data, i, end)
        if point == 46:
            size = _dots(data, i, end)
        elif size < end - i and data[i + size] | 0x20 == 115 and _apostrophe(data, i, i + size):
            size += 1
        note_word(data, i, i + size, row, codes, places, of_point, known)
        i += size


@part_of_a_pass
def _core_end(data: Bytes, begin: int, end: int, of_point: Bits, known: Codes) -> int:
    """Where the signs after a word begin."""
    while end > begin:
        i = last_at(data, begin, end)
        point, _ = _point(data, i, end)
        kind = of_point[point] if point < PLANES else np.uint16(LETTER)
        before = last_at(data, begin, i) if i > begin else i
        previous = kind_at(data, before, i, of_point)
        if point == 46:
            if i > begin and data[i - 1] == 46:
                while i > begin and data[i - 1] == 46:
                    i -= 1
            elif previous & UPPER:
                if before == begin or not kind_at(data, last_at(data, begin, before), before, of_point) & UPPER:
                    break
            elif not (previous & (LETTER | DIGIT | AFTER) or (i > begin and data[i - 1] in (37, 45, 43))):
                break
            if is_short(data, begin, end, known):
                break
        elif point | 0x20 == 115 and _apostrophe(data, begin, i):
            i -= _apostrophe(data, begin, i)
        elif kind & CURRENCY or point == 43 or point == 37:
            if not previous & DIGIT:
                break
        elif not kind & AFTER:
            break
        end = i
    return end


@part_of_a_pass
def is_short(data: Bytes, begin: int, end: int, known: Codes) -> bool:
    """Whether a part is an abbreviation, which keeps its full stop."""
    if end - begin == 2:
        return True
    if end - begin > 7:
        return False
    return bool(is_abbreviation(known, hash_of(data, begin, end)))


@part_of_a_pass
def _contraction(data: Bytes, begin: int, end: int) -> int:
    """Bytes of the end of a word that is a word of its own: n't, 'll, 've, 're, 'd, 'm."""
    if end - begin < 3:
        return 0
    last, before = data[end - 1] | 0x20, data[end - 2] | 0x20
    if last == 116 or last == 100 or last == 109:
        size = _apostrophe(data, begin, end - 1)
        if not size:
            return 0
        if last != 116:
            return 1 + size if end - 1 - size > begin else 0
        n = end - 2 - size
        return 2 + size if n > begin and data[n] | 0x20 == 110 else 0
    if (last == 108 and before == 108) or (last == 101 and (before == 118 or before == 114)):
        size = _apostrophe(data, begin, end - 2)
        return 2 + size if size and end - 2 - size > begin else 0
    return 0


@part_of_a_pass
def _core(
    data: Bytes, begin: int, end: int, row: Ints, codes: Codes, places: Ints, of_point: Bits, known: Codes,
) -> None:  # fmt: skip
    """Words of a part without signs around it: a sign between two letters may part them."""
    i, word, previous = begin, begin, np.uint16(0)
    while i < end:
        byte = data[i]
        point, size = _point(data, i, end)
        kind = of_point[point] if point < PLANES else np.uint16(LETTER)
        cut = 0
        if not kind & (LETTER | DIGIT):
            if byte == 58 and i + 2 < end and data[i + 1] == 47 and data[i + 2] == 47:
                break
            following = kind_at(data, i + size, end, of_point)
            if byte == 46:
                dots = _dots(data, i, end)
                lower = (previous & LETTER and not previous & UPPER) or previous & QUOTE
                if dots > 1 or (lower and following & (UPPER | QUOTE)):
                    cut = dots
            elif kind & ICON or point == 0x2026:
                cut = size
            elif byte == 44:
                cut = int(previous & following & LETTER != 0)
            elif byte == 58 or byte == 60 or byte == 61 or byte == 62 or byte == 47:
                cut = int(previous & (LETTER | DIGIT) != 0 and following & LETTER != 0)
            elif byte == 43 or byte == 42 or byte == 94:
                after = following & DIGIT != 0 or (i + 1 < end and data[i + 1] == 45)
                cut = int(previous & DIGIT != 0 and after)
            elif kind & HYPHEN and previous & (LETTER | DIGIT):
                run = size
                while byte == 45 and run < 3 and i + run < end and data[i + run] == 45:
                    run += 1
                if kind_at(data, i + run, end, of_point) & LETTER:
                    cut = run
                elif byte == 45 and previous & DIGIT and (following & DIGIT or run > 1):
                    cut = 1
        if cut:
            size = max(size, cut) if byte == 45 or byte == 46 else size
            if i > word:
                note_word(data, word, i, row, codes, places, of_point, known)
            note_word(data, i, i + size, row, codes, places, of_point, known)
            word = i + size
        previous = kind
        i += size
    if end > word:
        note_word(data, word, end, row, codes, places, of_point, known)
