"""The bytes of a shard become the figures that the rules of quality look at: one pass, compiled by numba.

What each figure counts is said in `figures.py`, what the published rules make of them in `rules.py`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.big_data.c4 import c4_keeps, is_of, may_be_phrase, phrases
from tasks.big_data.characters import NEWLINE, SENTENCE_END, SPACE, classes
from tasks.big_data.figures import (
    ALPHANUMERICS,
    BULLET_LINES,
    CHARACTERS,
    COUNT,
    COUNTED,
    ELLIPSIS_LINES,
    ENDED,
    ENDED_LINES,
    ENDS,
    FIELDS,
    FILLED_LINES,
    LETTERLESS_WORDS,
    LINE_FEEDS,
    LINES,
    LONGEST_LINE,
    PARAGRAPHS,
    REPEATED_LINES,
    REPEATED_PARAGRAPHS,
    SHORT_LINES,
    STATISTICS,
    STOPS,
    SYMBOL_CHARACTERS,
    SYMBOL_WORDS,
    WORD_CHARACTERS,
    WORDS,
    WRITTEN_LINES,
    Bits,
    Bytes,
    Codes,
    Ints,
    Offsets,
    Shares,
)
from tasks.big_data.octets import (
    HAS_CURLY,
    HAS_HIGH,
    HAS_RARE,
    eight,
    first,
    has_rare,
    hash_of,
    hash_of_few,
    letters,
    long_word,
    part_end,
)
from tasks.big_data.passes import part_of_a_pass, step_of_a_pass, whole_pass
from tasks.big_data.repetition import ROLL, most_repeated, ngrams, repeats
from tasks.big_data.signs import note_simple
from tasks.big_data.vocabulary import MULTIPLIER, SEED, STOP_BYTES, known_words
from tasks.big_data.words import (
    continuations,
    is_abbreviation,
    kind_at,
    last_at,
    note_part,
    note_parts,
    note_word,
    stop_bits,
)

SHORT_LINE_CHARACTERS = 30  # FineWeb
# A part without a blank in it is data rather than text from here on: one word, so that no line asks for much memory.
_LONGEST_PART = 1 << 16
# Words or lines of a document, at first.
_ROOM = 1 << 14


# Beside "-": the bullets of Unicode and of Markdown.
_BULLETS = np.array([0xE280A2, 0xE280A3, 0xE296AA, 0xE297A6, 0xE2978F, 0xE2978B], np.int64)


def statistics(data: Bytes, offsets: Offsets, harmless: Shares | None = None) -> NDArray[Any]:
    """Figures of every document of a shard.

    Args:
        data: UTF-8 of all documents, uint8 [bytes].
        offsets: where each begins, and the end of the last, int64 [documents + 1].
        harmless: of each document the share of its characters that n-grams may repeat; where it is surely no more,
            n-grams are not counted, and their figures are 0. None: they are always counted.

    Returns:
        One record of `STATISTICS` a document.
    """
    return _measured(data, offsets, np.zeros(0, np.uint8), np.zeros(1, np.int64), harmless)


def c4_lines(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets, NDArray[Any]]:
    """The documents with only the lines that C4 keeps, their offsets, and by which rules lines went."""
    # Every kept line is written with a line feed, which is taken off at the end of a document.
    kept = np.empty(len(data) + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    figures = _measured(data, offsets, kept, ends)
    return kept[: ends[-1]], ends, figures


def _measured(
    data: Bytes, offsets: Offsets, kept: Bytes, ends: Offsets, harmless: Shares | None = None
) -> NDArray[Any]:
    """Figures of every document; for a long one the pass ends early and goes on with more room."""
    out = np.zeros((len(offsets) - 1, len(FIELDS)), np.int64)
    tables = (*classes(), known_words())
    done, room = 0, _ROOM
    shares = np.full(len(out), COUNTED) if harmless is None else harmless
    # One kind of array, so that the pass is compiled once.
    data, offsets = data.view(), offsets.view()
    data.flags.writeable = offsets.flags.writeable = False
    while done < len(out):
        codes, spots = np.empty((3, room), np.uint64), np.empty((5, room + 1), np.int64)
        keys, values = np.empty(4 * room, np.uint64), np.empty(4 * room, np.int64)
        done = _measure(
            data, offsets, shares, done, out, np.zeros(ENDS + 1, np.int64), *tables, *codes, *spots, keys, values,
            keys.view(np.uint8), kept, ends,
        )  # fmt: skip
        room *= 4
    return out.view(STATISTICS)[:, 0]


@whole_pass
def _measure(
    data: Bytes, offsets: Offsets, shares: Shares, done: int, out: Ints, row: Ints, of_byte: Bits, of_point: Bits,
    known: Codes, codes: Codes, lines: Codes, blocks: Codes, places: Ints, sizes: Ints, block_sizes: Ints, spots: Ints,
    level: Ints, keys: Codes, values: Ints, seen: Bytes, kept: Bytes, ends: Offsets,
) -> int:  # fmt: skip
    """Fill `out` from one document on; write lines that C4 keeps, and where each document ends, where there is room.

    Returns:
        The document that has more words or lines than there is room for, else the number of all.
    """
    writes = len(kept) > 0
    for document in range(done, len(offsets) - 1):
        start, end = offsets[document], offsets[document + 1]
        row[:] = 0
        places[0] = 0
        written = n_blocks = block_size = 0
        block = line_code = np.uint64(SEED)
        tail = ends[document] if writes else 0
        i = start
        while i < end:
            line, start_at, last, chunks, longest, rare, extra = i, np.int64(-1), i, 0, 0, 0, 0
            line_code = np.uint64(SEED)
            row[ENDED] = row[ENDS] = 0
            while i < end:
                value = eight(data, i)
                size = letters(value)
                if size == 0:
                    kind = of_byte[data[i]]
                    if kind & SPACE:
                        if kind & NEWLINE:
                            break
                        line_code = (line_code ^ np.uint64(data[i])) * np.uint64(MULTIPLIER)
                        i += 1
                        continue
                simple = 0
                if 0 < size < 8 and i + size < end:
                    simple = _simple(data, i, size, value, end, known)
                if simple:
                    # By far the most: a word and a space, or a word, a sign and a space.
                    n, whole = row[COUNT], size + simple - 1
                    if n + 2 >= len(codes):
                        return document
                    word = first(value, size)
                    code, at = hash_of_few(word, size), places[n] + size
                    codes[n], places[n + 1] = code, at
                    row[ALPHANUMERICS] += size
                    if row[ENDED]:
                        row[ENDED] = 0
                        row[ENDS] += 1
                    row[STOPS] |= stop_bits(known, code)
                    if simple == 2:
                        sign = value >> np.uint64(8 * size) & np.uint64(0xFF)
                        codes[n + 1], places[n + 2] = hash_of_few(sign, 1), at + 1
                        row[SYMBOL_WORDS] += 1
                        row[SYMBOL_CHARACTERS] += 1
                        row[LETTERLESS_WORDS] += 1
                        if sign == 46:
                            row[ENDED] = 1
                        code = hash_of_few(first(value, whole), whole)
                    row[COUNT] = n + simple
                    line_code = (((line_code ^ code) * ROLL) ^ np.uint64(32)) * np.uint64(MULTIPLIER)
                    chunks += 1
                    start_at = i if start_at < 0 else start_at
                    last = i + whole
                    longest = max(longest, whole)
                    if (size > 5) & has_rare(word) or (simple == 1 and may_be_phrase(word, size)):
                        rare |= phrases(data, i, last, line, end)
                    i = last + 1
                    continue
                begin, signs = i, 0
                if size < 8:
                    value = first(value, size)
                    code = hash_of_few(value, size)
                    i += size
                    if size > 5 and has_rare(value):
                        signs = HAS_RARE
                else:
                    i, code, is_rare = long_word(data, i)
                    signs = HAS_RARE * is_rare
                if i > end:
                    i = end
                    code = hash_of(data, begin, end)
                is_word = i > begin and (i == end or of_byte[data[i]] & SPACE != 0)
                if not is_word:
                    i, signs = part_end(data, begin, end, of_byte)
                    code = hash_of(data, begin, i)
                    rare |= 8 * (signs & HAS_CURLY != 0)
                size = i - begin
                line_code = (line_code ^ code) * ROLL
                chunks += 1
                start_at = begin if start_at < 0 else start_at
                last = i
                longest = max(longest, size)
                n = row[COUNT]
                if n + min(size, _LONGEST_PART) >= len(codes):
                    return document
                if is_word:
                    codes[n], places[n + 1], row[COUNT] = code, places[n] + size, n + 1
                    row[ALPHANUMERICS] += size
                    if row[ENDED]:
                        row[ENDED] = 0
                        row[ENDS] += 1
                    if size <= STOP_BYTES:
                        row[STOPS] |= stop_bits(known, code)
                elif size > _LONGEST_PART:
                    extra += continuations(data, begin, i)
                    note_word(data, begin, i, row, codes, places, of_point, known)
                elif signs & HAS_HIGH:
                    extra += continuations(data, begin, i)
                    chunks += note_parts(data, begin, i, row, codes, places, of_point, known)
                elif not note_simple(data, begin, i, row, codes, places, of_point, known):
                    note_part(data, begin, i, row, codes, places, of_point, known)
                if signs & HAS_RARE or (size == 2 and is_of(data, begin)) or (size > 4 and data[i - 1] | 0x20 == 109):
                    rare |= phrases(data, begin, i, line, end)
            # The line is whole: data[line:i].
            characters = i - line - extra
            row[CHARACTERS] += characters
            row[LINES] += 1
            row[LONGEST_LINE] = max(row[LONGEST_LINE], characters)
            if i > line:
                if written >= len(lines):
                    return document
                lines[written] = line_code
                sizes[written] = characters if start_at >= 0 else -characters
                written += 1
                block = (block ^ line_code) * np.uint64(MULTIPLIER)
                block_size += characters + 1
            if start_at >= 0:
                _filled_line(data, line, i, start_at, last, characters, row, of_point)
                if c4_keeps(data, start_at, last, chunks, longest, rare, row[ENDS] + 1, row) and writes:
                    for j in range(start_at, last):
                        kept[tail] = data[j]
                        tail += 1
                    kept[tail] = 10
                    tail += 1
            ending = i < end
            i += 1
            if block_size and (i >= end or not ending or data[i] == 10):
                blocks[n_blocks], block_sizes[n_blocks] = block, block_size - 1
                n_blocks += 1
                block, block_size = np.uint64(SEED), 0
            row[LINE_FEEDS] += ending
        if writes:
            ends[document + 1] = tail - (tail > ends[document])
            _write(row, out, document)
            continue
        words = row[COUNT]
        row[CHARACTERS] += row[LINE_FEEDS]
        row[WORDS], row[WORD_CHARACTERS], row[PARAGRAPHS] = words, places[words], n_blocks
        if end > start:
            row[WRITTEN_LINES] = written + (data[start] == 10) + (data[end - 1] == 10)
        repeats(lines, sizes, written, keys, row, REPEATED_LINES)
        repeats(blocks, block_sizes, n_blocks, keys, row, REPEATED_PARAGRAPHS)
        share = shares[document]
        if share < 0 or most_repeated(codes, places, words, seen) / max(row[CHARACTERS], 1) > share:
            ngrams(codes, places, words, keys, values, spots, level, row)
        _write(row, out, document)
    return len(out)


@part_of_a_pass
def _write(row: Ints, out: Ints, document: int) -> None:
    """Write a document's figures."""
    for column in range(len(FIELDS)):
        out[document, column] = row[column]


@step_of_a_pass
def _simple(data: Bytes, begin: int, size: int, value: np.uint64, end: int, known: Codes) -> int:
    """Whether a word of fewer than eight letters is all of its part, 1, or has one sign after it, 2; 0: neither.

    A space follows in both cases. The sign is one that `words.note_part` parts from the word.
    """
    after = value >> np.uint64(8 * size) & np.uint64(0xFF)
    if after == 32:
        return 1
    if size == 7 or begin + size + 1 >= end or value >> np.uint64(8 * size + 8) & np.uint64(0xFF) != 32:
        return 0
    if after == 44 or after == 58 or after == 59:
        return 2
    if after != 46 or size == 1 or data[begin + size - 1] < 97:
        return 0
    code = hash_of_few(first(value, size + 1), size + 1)
    return 0 if is_abbreviation(known, code) else 2


@part_of_a_pass
def _filled_line(
    data: Bytes, line: int, end: int, first: int, last: int, characters: int, row: Ints, of_point: Bits,
) -> None:  # fmt: skip
    """Count a line that is not blank."""
    row[FILLED_LINES] += 1
    row[SHORT_LINES] += characters <= SHORT_LINE_CHARACTERS
    row[ENDED_LINES] += kind_at(data, last_at(data, line, end), end, of_point) & SENTENCE_END != 0
    if last - first >= 3:
        tail = np.int64(data[last - 3]) << 16 | np.int64(data[last - 2]) << 8 | np.int64(data[last - 1])
        row[ELLIPSIS_LINES] += tail == 0x2E2E2E or tail == 0xE280A6
    bullet = data[first] == 45 or (data[first] == 42 and first + 1 < end and data[first + 1] == 32)
    if data[first] == 0xE2 and last - first >= 3:
        head = 0xE20000 | np.int64(data[first + 1]) << 8 | np.int64(data[first + 2])
        for sign in _BULLETS:
            bullet |= head == sign
    row[BULLET_LINES] += bullet
