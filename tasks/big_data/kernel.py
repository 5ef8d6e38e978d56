"""The bytes of a shard become the figures that the rules of quality look at: one pass, compiled by numba.

What each figure counts is said in `figures.py`, what the published rules make of them in `rules.py`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.big_data.characters import HIGH, LETTER, NEWLINE, RARE, SENTENCE_END, SPACE, UPPER, classes
from tasks.big_data.figures import (
    ALPHANUMERICS,
    BULLET_LINES,
    C4_FEW_WORDS,
    C4_JAVASCRIPT,
    C4_LONG_WORD,
    C4_NO_END,
    C4_POLICY,
    CHARACTERS,
    CURLY_BRACKETS,
    ELLIPSIS_LINES,
    ENDED_LINES,
    FIELDS,
    FILLED_LINES,
    LINE_FEEDS,
    LINES,
    LONGEST_LINE,
    LOREM_IPSUM,
    PARAGRAPHS,
    REPEATED_LINES,
    REPEATED_PARAGRAPHS,
    SENTENCES,
    SHORT_LINES,
    STATISTICS,
    STOPS,
    WORD_CHARACTERS,
    WORDS,
    WRITTEN_LINES,
    Bits,
    Bytes,
    Codes,
    Ints,
    Offsets,
)
from tasks.big_data.passes import part_of_a_pass, whole_pass
from tasks.big_data.repetition import ROLL, ngrams, repeats
from tasks.big_data.vocabulary import ABBREVIATIONS, MULTIPLIER, SEED, STOP_WORDS, slots
from tasks.big_data.words import (
    COUNT,
    ENDED,
    ENDS,
    continuations,
    kind_at,
    last_at,
    note_part,
    note_parts,
    note_word,
    slot_of,
)

SHORT_LINE_CHARACTERS = 30  # FineWeb
C4_LINE_WORDS = 3
C4_WORD_CHARACTERS = 1000
# A part without a blank in it is data rather than text from here on: one word, so that no line asks for much memory.
_LONGEST_PART = 1 << 16
# Words or lines of a document, at first.
_ROOM = 1 << 14


def _phrase(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_JAVASCRIPT, _COOKIE, _PRIVACY, _POLICY = map(_phrase, ("javascript", "cookie", "privacy", " policy"))
_OF, _USE, _USES, _TERMS, _OF_USE = map(_phrase, ("use of ", "use ", "uses ", "terms ", " use"))
_LOREM, _IPSUM, _EDIT, _NEEDED = map(_phrase, ("lorem", " ipsum", "[edit]", "[citation needed]"))
# Beside "-": the bullets of Unicode and of Markdown.
_BULLETS = np.array([0xE280A2, 0xE280A3, 0xE296AA, 0xE297A6, 0xE2978F, 0xE2978B], np.int64)


def statistics(data: Bytes, offsets: Offsets) -> NDArray[Any]:
    """Figures of every document of a shard.

    Args:
        data: UTF-8 of all documents, uint8 [bytes].
        offsets: where each begins, and the end of the last, int64 [documents + 1].

    Returns:
        One record of `STATISTICS` a document.
    """
    return _measured(data, offsets, np.zeros(0, np.uint8), np.zeros(1, np.int64))


def c4_lines(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets, NDArray[Any]]:
    """The documents with only the lines that C4 keeps, their offsets, and by which rules lines went."""
    # Every kept line is written with a line feed, which is taken off at the end of a document.
    kept = np.empty(len(data) + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    figures = _measured(data, offsets, kept, ends)
    return kept[: ends[-1]], ends, figures


def _measured(data: Bytes, offsets: Offsets, kept: Bytes, ends: Offsets) -> NDArray[Any]:
    """Figures of every document; for a long one the pass ends early and goes on with more room."""
    out = np.zeros((len(offsets) - 1, len(FIELDS)), np.int64)
    tables = (*classes(), *slots(STOP_WORDS), slots(ABBREVIATIONS)[0])
    done, room = 0, _ROOM
    # One kind of array, so that the pass is compiled once.
    data, offsets = data.view(), offsets.view()
    data.flags.writeable = offsets.flags.writeable = False
    while done < len(out):
        codes, spots = np.empty((3, room), np.uint64), np.empty((5, room + 1), np.int64)
        keys, values = np.empty(4 * room, np.uint64), np.empty(4 * room, np.int64)
        done = _measure(
            data, offsets, done, out, *tables, *codes, *spots, keys, values, np.zeros(3, np.int64), kept, ends
        )
        room *= 4
    return out.view(STATISTICS)[:, 0]


@whole_pass
def _measure(
    data: Bytes, offsets: Offsets, done: int, out: Ints, of_byte: Bits, of_point: Bits, stops: Codes, stop_bits: Ints,
    shorts: Codes, codes: Codes, lines: Codes, blocks: Codes, places: Ints, sizes: Ints, block_sizes: Ints,
    spots: Ints, level: Ints, keys: Codes, values: Ints, now: Ints, kept: Bytes, ends: Offsets,
) -> int:  # fmt: skip
    """Fill `out` from one document on; write lines that C4 keeps, and where each document ends, where there is room.

    Returns:
        The document that has more words or lines than there is room for, else the number of all.
    """
    writes = len(kept) > 0
    for document in range(done, len(offsets) - 1):
        start, end, row = offsets[document], offsets[document + 1], out[document]
        row[:] = 0
        now[:] = 0
        places[0] = 0
        written = n_blocks = block_size = 0
        block = line_code = np.uint64(SEED)
        tail = ends[document] if writes else 0
        i = start
        while i < end:
            line, first, last, chunks, longest, rare, extra = i, np.int64(-1), i, 0, 0, 0, 0
            line_code = np.uint64(SEED)
            now[ENDED] = now[ENDS] = 0
            while i < end:
                kind = of_byte[data[i]]
                if kind & SPACE:
                    if kind & NEWLINE:
                        break
                    line_code = (line_code ^ np.uint64(data[i])) * np.uint64(MULTIPLIER)
                    i += 1
                    continue
                begin, code, kinds = i, np.uint64(SEED), np.uint16(0)
                while i < end:
                    kind = of_byte[data[i]]
                    if kind & SPACE:
                        break
                    code = (code ^ np.uint64(data[i])) * np.uint64(MULTIPLIER)
                    kinds |= kind
                    i += 1
                size = i - begin
                line_code = (line_code ^ code) * ROLL
                chunks += 1
                first = begin if first < 0 else first
                last = i
                longest = max(longest, size)
                n = now[COUNT]
                if n + min(size, _LONGEST_PART) >= len(codes):
                    return document
                if kinds & ~np.uint16(LETTER | UPPER | RARE) == 0:
                    codes[n], places[n + 1], now[COUNT] = code, places[n] + size, n + 1
                    row[ALPHANUMERICS] += size
                    if now[ENDED]:
                        now[ENDED] = 0
                        now[ENDS] += 1
                    row[STOPS] |= stop_bits[slot_of(stops, code)]
                elif size > _LONGEST_PART:
                    extra += continuations(data, begin, i)
                    note_word(data, begin, i, row, now, codes, places, of_point, stops, stop_bits)
                elif kinds & HIGH:
                    extra += continuations(data, begin, i)
                    chunks += note_parts(data, begin, i, row, now, codes, places, of_point, stops, stop_bits, shorts)
                else:
                    note_part(data, begin, i, row, now, codes, places, of_point, stops, stop_bits, shorts)
                last_byte = data[i - 1] | 0x20
                if kinds & RARE or last_byte == 109 or last_byte == 102 or data[begin] | 0x20 == 108:
                    rare |= _phrases(data, begin, i, line, end)
            # The line is whole: data[line:i].
            characters = i - line - extra
            row[CHARACTERS] += characters
            row[LINES] += 1
            row[LONGEST_LINE] = max(row[LONGEST_LINE], characters)
            if i > line:
                if written >= len(lines):
                    return document
                lines[written] = line_code
                sizes[written] = characters if first >= 0 else -characters
                written += 1
                block = (block ^ line_code) * np.uint64(MULTIPLIER)
                block_size += characters + 1
            if first >= 0:
                _filled_line(data, line, i, first, last, characters, row, of_point)
                if _c4_keeps(data, first, last, chunks, longest, rare, now[ENDS] + 1, row) and writes:
                    for j in range(first, last):
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
            continue
        words = now[COUNT]
        row[CHARACTERS] += row[LINE_FEEDS]
        row[WORDS], row[WORD_CHARACTERS], row[PARAGRAPHS] = words, places[words], n_blocks
        if end > start:
            row[WRITTEN_LINES] = written + (data[start] == 10) + (data[end - 1] == 10)
        repeats(lines, sizes, written, keys, row, REPEATED_LINES)
        repeats(blocks, block_sizes, n_blocks, keys, row, REPEATED_PARAGRAPHS)
        ngrams(codes, places, words, keys, values, spots, level, row)
    return len(out)


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


@part_of_a_pass
def _phrases(data: Bytes, begin: int, end: int, line: int, stop: int) -> int:
    """What C4 looks for that has a word in this part: 1 JavaScript, 2 a policy, 4 lorem ipsum."""
    found = 0
    if data[end - 1] | 0x20 == 109 and _is(data, end - 5, end, _LOREM) and _is(data, end, stop, _IPSUM):
        found |= 4
    if end - begin == 2 and _is(data, begin - 6, end, _TERMS) and _is(data, end, stop, _OF_USE):
        found |= 2 * (data[begin] | 0x20 == 111 and begin - 6 >= line)
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


@part_of_a_pass
def _c4_keeps(
    data: Bytes, first: int, last: int, chunks: int, longest: int, rare: int, sentences: int, row: Ints,
) -> bool:  # fmt: skip
    """Whether C4 keeps a line; if not, or if it is against the document, that is counted."""
    if longest > C4_WORD_CHARACTERS:
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
    if chunks < C4_LINE_WORDS:
        row[C4_FEW_WORDS] += 1
        return False
    if rare & 4:
        row[LOREM_IPSUM] += 1
    if rare & 1:
        row[C4_JAVASCRIPT] += 1
        return False
    for i in range(first, last):
        if data[i] == 123:
            row[CURLY_BRACKETS] += 1
            break
    if rare & 2:
        row[C4_POLICY] += 1
        return False
    row[SENTENCES] += sentences
    return True
