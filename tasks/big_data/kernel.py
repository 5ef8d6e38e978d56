"""The bytes of a shard become the figures that the rules of quality look at: one pass, compiled, without the GIL.

What each figure counts is said at `FIELDS`; what the published rules make of them in `rules.py`. The rule for words is
in `characters.py`. numba's cache looks at this file alone: after a change in `characters.py`, change this one too.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tasks.big_data.characters import (
    AFTER,
    BEFORE,
    CURRENCY,
    DIGIT,
    HIGH,
    HYPHEN,
    ICON,
    LETTER,
    NEWLINE,
    PLANES,
    PUNCTUATION,
    QUOTE,
    RARE,
    SENTENCE_END,
    SPACE,
    SYMBOL,
    UPPER,
    classes,
)  # fmt: skip
from tasks.big_data.vocabulary import ABBREVIATIONS, MULTIPLIER, SEED, SLOTS, STOP_WORDS, slots

Bytes = NDArray[np.uint8]
Bits = NDArray[np.uint16]
Codes = NDArray[np.uint64]
Ints = NDArray[np.int64]
Offsets = NDArray[np.int64]

# One column a figure, all of a document. Characters are code points; a line has no line feed.
FIELDS = (
    "characters",
    "line_feeds",
    "words",
    "word_characters",
    "symbol_words",  # words of nothing but punctuation
    "symbol_characters",
    "letterless_words",
    "alphanumerics",
    "replacements",  # U+FFFD
    "hashes",
    "ellipses",
    "stop_words",  # one bit a stop word that occurs: vocabulary.STOP_WORDS
    "longest_line",
    "lines",  # the end of the last one makes no line
    "bullet_lines",
    "ellipsis_lines",
    "written_lines",  # those with a character, blanks too; a text that ends in a line feed has one more
    "repeated_lines",  # of these, those that occurred before
    "repeated_line_characters",
    "paragraphs",
    "repeated_paragraphs",
    "repeated_paragraph_characters",
    "filled_lines",  # those with a character that is no blank
    "ended_lines",
    "short_lines",
    "repeated_filled_characters",
    "top_2",  # characters in the n-gram that occurs most often, spaces between its words counted
    "top_3",
    "top_4",
    "repeated_5",  # characters in n-grams that occurred before, none counted twice
    "repeated_6",
    "repeated_7",
    "repeated_8",
    "repeated_9",
    "repeated_10",
    "sentences",  # in lines that C4 keeps
    "c4_long_word",  # lines that C4 drops, by its first rule against each
    "c4_no_end",
    "c4_few_words",
    "c4_javascript",
    "c4_policy",
    "lorem_ipsum",
    "curly_brackets",
)
(
    CHARACTERS, LINE_FEEDS, WORDS, WORD_CHARACTERS, SYMBOL_WORDS, SYMBOL_CHARACTERS, LETTERLESS_WORDS, ALPHANUMERICS,
    REPLACEMENTS, HASHES, ELLIPSES, STOPS, LONGEST_LINE, LINES, BULLET_LINES, ELLIPSIS_LINES, WRITTEN_LINES,
    REPEATED_LINES, REPEATED_LINE_CHARACTERS, PARAGRAPHS, REPEATED_PARAGRAPHS, REPEATED_PARAGRAPH_CHARACTERS,
    FILLED_LINES, ENDED_LINES, SHORT_LINES, REPEATED_FILLED_CHARACTERS, TOP_2, _TOP_3, _TOP_4, REPEATED_5, _R6, _R7,
    _R8, _R9, _R10, SENTENCES, C4_LONG_WORD, C4_NO_END, C4_FEW_WORDS, C4_JAVASCRIPT, C4_POLICY, LOREM_IPSUM,
    CURLY_BRACKETS,
) = range(len(FIELDS))  # fmt: skip
STATISTICS = np.dtype([(name, np.int64) for name in FIELDS])

SHORT_LINE_CHARACTERS = 30  # FineWeb
C4_LINE_WORDS = 3
C4_WORD_CHARACTERS = 1000
# A part without a blank in it is data rather than text from here on: one word, so that no line asks for much memory.
_LONGEST_PART = 1 << 16
# Places in `now`, the state within a document.
_COUNT, _ENDED, _ENDS = range(3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ROLL = np.uint64(0xD6E8FEB86659FD93)


def _phrase(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_JAVASCRIPT, _COOKIE, _PRIVACY, _POLICY = map(_phrase, ("javascript", "cookie", "privacy", " policy"))
_OF, _USE, _USES, _TERMS, _OF_USE = map(_phrase, ("use of ", "use ", "uses ", "terms ", " use"))
_LOREM, _IPSUM, _EDIT, _NEEDED = map(_phrase, ("lorem", " ipsum", "[edit]", "[citation needed]"))
# Beside "-": the bullets of Unicode and of Markdown.
_BULLETS = np.array([0xE280A2, 0xE280A3, 0xE296AA, 0xE297A6, 0xE2978F, 0xE2978B], np.int64)

_jit: Any = numba.njit(nogil=True, cache=True)


def statistics(data: Bytes, offsets: Offsets) -> NDArray[Any]:
    """Figures of every document of a shard.

    Args:
        data: UTF-8 of all documents, uint8 [bytes].
        offsets: where each begins, and the end of the last, int64 [documents + 1].

    Returns:
        One record of `STATISTICS` a document.
    """
    out = np.zeros((len(offsets) - 1, len(FIELDS)), np.int64)
    _measure(data, offsets, out, *_tables(), np.zeros(0, np.uint8), np.zeros(1, np.int64))
    return out.view(STATISTICS)[:, 0]


def c4_lines(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets, NDArray[Any]]:
    """The documents with only the lines that C4 keeps, their offsets, and by which rules lines went."""
    out = np.zeros((len(offsets) - 1, len(FIELDS)), np.int64)
    # Every kept line is written with a line feed, which is taken off at the end of a document.
    kept = np.empty(len(data) + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _measure(data, offsets, out, *_tables(), kept, ends)
    return kept[: ends[-1]], ends, out.view(STATISTICS)[:, 0]


def _tables() -> tuple[NDArray[Any], ...]:
    return (*classes(), *slots(STOP_WORDS), *slots(ABBREVIATIONS))


@_jit
def _measure(
    data: Bytes, offsets: Offsets, out: Ints, of_byte: Bits, of_point: Bits, stops: Codes, stop_bits: Ints,
    shorts: Codes, short_bits: Ints, kept: Bytes, ends: Offsets,
) -> None:  # fmt: skip
    """Fill `out`; write lines that C4 keeps to `kept` where that has room, and where each document ends to `ends`."""
    codes, places = np.empty(4096, np.uint64), np.empty(4097, np.int64)
    lines, sizes = np.empty(256, np.uint64), np.empty(256, np.int64)
    blocks, block_sizes = np.empty(64, np.uint64), np.empty(64, np.int64)
    keys, values = np.empty(8192, np.uint64), np.empty(8192, np.int64)
    spots, level = np.empty(4096, np.int64), np.empty(4096, np.int64)
    now = np.zeros(3, np.int64)
    writes = len(kept) > 0
    for document in range(len(offsets) - 1):
        start, end, row = offsets[document], offsets[document + 1], out[document]
        now[:] = 0
        places[0] = 0
        written = n_blocks = block_size = 0
        block = line_code = np.uint64(SEED)
        tail = ends[document] if writes else 0
        i = start
        while i < end:
            line, first, last, chunks, longest, rare, extra = i, np.int64(-1), i, 0, 0, 0, 0
            line_code = np.uint64(SEED)
            now[_ENDED] = now[_ENDS] = 0
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
                line_code = (line_code ^ code) * _ROLL
                chunks += 1
                first = begin if first < 0 else first
                last = i
                longest = max(longest, size)
                n = now[_COUNT]
                if n + size >= len(codes):
                    codes, places = _longer(codes, n, size), _longer(places, n + 1, size)
                if kinds & ~np.uint16(LETTER | UPPER | RARE) == 0:
                    codes[n], places[n + 1], now[_COUNT] = code, places[n] + size, n + 1
                    row[ALPHANUMERICS] += size
                    if now[_ENDED]:
                        now[_ENDED] = 0
                        now[_ENDS] += 1
                    row[STOPS] |= stop_bits[_slot(stops, code)]
                elif size > _LONGEST_PART:
                    extra += _continuations(data, begin, i)
                    _word(data, begin, i, row, now, codes, places, of_point, stops, stop_bits)
                elif kinds & HIGH:
                    extra += _continuations(data, begin, i)
                    chunks += _parts(data, begin, i, row, now, codes, places, of_point, stops, stop_bits, shorts)
                else:
                    _part(data, begin, i, row, now, codes, places, of_point, stops, stop_bits, shorts)
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
                    lines, sizes = _longer(lines, written, written), _longer(sizes, written, written)
                lines[written] = line_code
                sizes[written] = characters if first >= 0 else -characters
                written += 1
                block = (block ^ line_code) * np.uint64(MULTIPLIER)
                block_size += characters + 1
            if first >= 0:
                _filled_line(data, line, i, first, last, characters, row, of_point)
                if _c4_keeps(data, first, last, chunks, longest, rare, now[_ENDS] + 1, row) and writes:
                    for j in range(first, last):
                        kept[tail] = data[j]
                        tail += 1
                    kept[tail] = 10
                    tail += 1
            ending = i < end
            i += 1
            if block_size and (i >= end or not ending or data[i] == 10):
                if n_blocks >= len(blocks):
                    blocks = _longer(blocks, n_blocks, n_blocks)
                    block_sizes = _longer(block_sizes, n_blocks, n_blocks)
                blocks[n_blocks], block_sizes[n_blocks] = block, block_size - 1
                n_blocks += 1
                block, block_size = np.uint64(SEED), 0
            row[LINE_FEEDS] += ending
        if writes:
            ends[document + 1] = tail - (tail > ends[document])
            continue
        words = now[_COUNT]
        row[CHARACTERS] += row[LINE_FEEDS]
        row[WORDS], row[WORD_CHARACTERS], row[PARAGRAPHS] = words, places[words], n_blocks
        if end > start:
            row[WRITTEN_LINES] = written + (data[start] == 10) + (data[end - 1] == 10)
        room = 16
        while room < 2 * max(words, written):
            room *= 2
        if room > len(keys):
            keys, values = np.empty(room, np.uint64), np.empty(room, np.int64)
        if words > len(spots):
            spots, level = np.empty(words, np.int64), np.empty(words, np.int64)
        _repeats(lines, sizes, written, keys, row, REPEATED_LINES)
        _repeats(blocks, block_sizes, n_blocks, keys, row, REPEATED_PARAGRAPHS)
        _ngrams(codes, places, words, keys, values, spots, level, row)


@_jit
def _longer(array: Any, used: int, needed: int) -> Any:
    """The same with room for more."""
    out = np.empty(2 * len(array) + needed, array.dtype)
    out[:used] = array[:used]
    return out


@_jit
def _slot(table: Codes, code: np.uint64) -> Any:
    """Where a word is in a table of `vocabulary.slots`; an empty place if it is not."""
    slot = np.int64(code & np.uint64(SLOTS - 1))
    while table[slot] != code and table[slot] != 0:
        slot = slot + 1 & SLOTS - 1
    return slot


@_jit
def _continuations(data: Bytes, begin: int, end: int) -> int:
    """Bytes that begin no character."""
    found = 0
    for i in range(begin, end):
        found += data[i] & 0xC0 == 0x80
    return found


@_jit
def _point(data: Bytes, i: int, end: int) -> tuple[Any, int]:
    """Code point that begins at i, and its bytes."""
    byte = np.int64(data[i])
    if byte < 0x80:
        return byte, 1
    if byte < 0xE0 and i + 1 < end:
        return (byte & 0x1F) << 6 | np.int64(data[i + 1]) & 0x3F, 2
    if byte < 0xF0 and i + 2 < end:
        return (byte & 0x0F) << 12 | (np.int64(data[i + 1]) & 0x3F) << 6 | np.int64(data[i + 2]) & 0x3F, 3
    if i + 3 < end:
        high = (byte & 0x07) << 18 | (np.int64(data[i + 1]) & 0x3F) << 12
        return high | (np.int64(data[i + 2]) & 0x3F) << 6 | np.int64(data[i + 3]) & 0x3F, 4
    return np.int64(0xFFFD), 1


@_jit
def _kind(data: Bytes, i: int, end: int, of_point: Bits) -> Any:
    """Bits of the character at i, none beyond the end."""
    if i >= end:
        return np.uint16(0)
    point, _ = _point(data, i, end)
    return of_point[point] if point < PLANES else np.uint16(LETTER)


@_jit
def _last(data: Bytes, begin: int, end: int) -> int:
    """Where the last character of a part begins."""
    i = end - 1
    while i > begin and data[i] & 0xC0 == 0x80:
        i -= 1
    return i


@_jit
def _word(
    data: Bytes, begin: int, end: int, row: Ints, now: Ints, codes: Codes, places: Ints, of_point: Bits, stops: Codes,
    stop_bits: Ints,
) -> None:  # fmt: skip
    """Note one word."""
    code, kinds, every, characters, i = np.uint64(SEED), np.uint16(0), np.uint16(0xFFFF), 0, begin
    while i < end:
        point, size = _point(data, i, end)
        kind = of_point[point] if point < PLANES else np.uint16(LETTER)
        for j in range(i, i + size):
            code = (code ^ np.uint64(data[j])) * np.uint64(MULTIPLIER)
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
    n = now[_COUNT]
    codes[n], places[n + 1], now[_COUNT] = code, places[n] + characters, n + 1
    if every & SYMBOL:
        row[SYMBOL_WORDS] += 1
        row[SYMBOL_CHARACTERS] += characters
    if not kinds & LETTER:
        row[LETTERLESS_WORDS] += 1
    if characters == 1 and every & SENTENCE_END:
        now[_ENDED] = 1
    elif now[_ENDED] and not every & PUNCTUATION:
        now[_ENDED] = 0
        now[_ENDS] += 1
    row[STOPS] |= stop_bits[_slot(stops, code)]


@_jit
def _parts(
    data: Bytes, begin: int, end: int, row: Ints, now: Ints, codes: Codes, places: Ints, of_point: Bits, stops: Codes,
    stop_bits: Ints, shorts: Codes,
) -> int:  # fmt: skip
    """Words of a part that may have blanks beyond ASCII in it; how many more parts that makes."""
    found, part, i = 0, begin, begin
    while i < end:
        point, size = _point(data, i, end)
        if point < PLANES and of_point[point] & SPACE:
            if i > part:
                _part(data, part, i, row, now, codes, places, of_point, stops, stop_bits, shorts)
                found += 1
            part = i + size
        i += size
    if end > part:
        _part(data, part, end, row, now, codes, places, of_point, stops, stop_bits, shorts)
        found += 1
    return found - 1


@_jit
def _dots(data: Bytes, i: int, end: int) -> int:
    """Full stops one after the other."""
    j = i
    while j < end and data[j] == 46:
        j += 1
    return j - i


@_jit
def _apostrophe(data: Bytes, begin: int, i: int) -> int:
    """Bytes of the apostrophe that ends before i."""
    if i > begin and data[i - 1] == 39:
        return 1
    return 3 * (i - 2 > begin and data[i - 3] == 0xE2 and data[i - 2] == 0x80 and data[i - 1] == 0x99)


@_jit
def _part(
    data: Bytes, begin: int, end: int, row: Ints, now: Ints, codes: Codes, places: Ints, of_point: Bits, stops: Codes,
    stop_bits: Ints, shorts: Codes,
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
            if _kind(data, i + 1, end, of_point) & DIGIT:
                break
        elif not kind & BEFORE:
            break
        _word(data, i, i + size, row, now, codes, places, of_point, stops, stop_bits)
        i += size
    if i >= end:
        return
    core = _core_end(data, i, end, of_point, shorts)
    contraction = _contraction(data, i, core)
    _core(data, i, core - contraction, row, now, codes, places, of_point, stops, stop_bits)
    if contraction:
        _word(data, core - contraction, core, row, now, codes, places, of_point, stops, stop_bits)
    i = core
    while i < end:
        point, size = _point(data, i, end)
        if point == 46:
            size = _dots(data, i, end)
        elif size < end - i and data[i + size] | 0x20 == 115 and _apostrophe(data, i, i + size):
            size += 1
        _word(data, i, i + size, row, now, codes, places, of_point, stops, stop_bits)
        i += size


@_jit
def _core_end(data: Bytes, begin: int, end: int, of_point: Bits, shorts: Codes) -> int:
    """Where the signs after a word begin."""
    while end > begin:
        i = _last(data, begin, end)
        point, _ = _point(data, i, end)
        kind = of_point[point] if point < PLANES else np.uint16(LETTER)
        before = _last(data, begin, i) if i > begin else i
        previous = _kind(data, before, i, of_point)
        if point == 46:
            if i > begin and data[i - 1] == 46:
                while i > begin and data[i - 1] == 46:
                    i -= 1
            elif previous & UPPER:
                if before == begin or not _kind(data, _last(data, begin, before), before, of_point) & UPPER:
                    break
            elif not (previous & (LETTER | DIGIT | AFTER) or (i > begin and data[i - 1] in (37, 45, 43))):
                break
            if _is_short(data, begin, end, shorts):
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


@_jit
def _is_short(data: Bytes, begin: int, end: int, shorts: Codes) -> bool:
    """Whether a part is an abbreviation, which keeps its full stop."""
    if end - begin == 2:
        return True
    if end - begin > 7:
        return False
    code = np.uint64(SEED)
    for i in range(begin, end):
        code = (code ^ np.uint64(data[i])) * np.uint64(MULTIPLIER)
    return shorts[_slot(shorts, code)] == code


@_jit
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


@_jit
def _core(
    data: Bytes, begin: int, end: int, row: Ints, now: Ints, codes: Codes, places: Ints, of_point: Bits, stops: Codes,
    stop_bits: Ints,
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
            following = _kind(data, i + size, end, of_point)
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
                if _kind(data, i + run, end, of_point) & LETTER:
                    cut = run
                elif byte == 45 and previous & DIGIT and (following & DIGIT or run > 1):
                    cut = 1
        if cut:
            size = max(size, cut) if byte == 45 or byte == 46 else size
            if i > word:
                _word(data, word, i, row, now, codes, places, of_point, stops, stop_bits)
            _word(data, i, i + size, row, now, codes, places, of_point, stops, stop_bits)
            word = i + size
        previous = kind
        i += size
    if end > word:
        _word(data, word, end, row, now, codes, places, of_point, stops, stop_bits)


@_jit
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


@_jit
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


@_jit
def _filled_line(
    data: Bytes, line: int, end: int, first: int, last: int, characters: int, row: Ints, of_point: Bits,
) -> None:  # fmt: skip
    """Count a line that is not blank."""
    row[FILLED_LINES] += 1
    row[SHORT_LINES] += characters <= SHORT_LINE_CHARACTERS
    row[ENDED_LINES] += _kind(data, _last(data, line, end), end, of_point) & SENTENCE_END != 0
    if last - first >= 3:
        tail = np.int64(data[last - 3]) << 16 | np.int64(data[last - 2]) << 8 | np.int64(data[last - 1])
        row[ELLIPSIS_LINES] += tail == 0x2E2E2E or tail == 0xE280A6
    bullet = data[first] == 45 or (data[first] == 42 and first + 1 < end and data[first + 1] == 32)
    if data[first] == 0xE2 and last - first >= 3:
        head = 0xE20000 | np.int64(data[first + 1]) << 8 | np.int64(data[first + 2])
        for sign in _BULLETS:
            bullet |= head == sign
    row[BULLET_LINES] += bullet


@_jit
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


@_jit
def _repeats(found: Codes, sizes: Ints, n: int, keys: Codes, row: Ints, column: int) -> None:
    """Count those that occurred before, and their characters in the column after it; blank lines have sizes below 0."""
    if n < 2:
        return
    room = 16
    while room < 2 * n:
        room *= 2
    keys[:room] = 0
    for i in range(n):
        key = found[i] | np.uint64(1)
        slot = np.int64((key * _SPREAD) >> np.uint64(40)) & (room - 1)
        while keys[slot] != 0 and keys[slot] != key:
            slot = slot + 1 & room - 1
        if keys[slot] == key:
            row[column] += 1
            row[column + 1] += abs(sizes[i])
            if column == REPEATED_LINES and sizes[i] > 0:
                row[REPEATED_FILLED_CHARACTERS] += sizes[i]
        keys[slot] = key


@_jit
def _ngrams(
    codes: Codes, places: Ints, words: int, keys: Codes, values: Ints, spots: Ints, level: Ints, row: Ints,
) -> None:  # fmt: skip
    """Characters in the most frequent n-gram (2 to 4 words) and in those that occurred before (5 to 10).

    An n-gram that occurs twice has two (n-1)-grams that do: each n looks only where the one before found some. `codes`
    becomes the codes of n-grams; where a table's slot begins is its first place, above it the times.
    """
    for i in range(words - 1):
        spots[i] = i
    left = max(words - 1, 0)
    for n in range(2, 11):
        if words < n:
            return
        if left == 0:
            if n <= 4:
                row[TOP_2 + n - 2] = places[n] + n - 1
            continue
        room = 16
        while room < 2 * left:
            room *= 2
        keys[:room] = 0
        most, most_at = 1, 0
        for k in range(left):
            i = spots[k]
            key = np.uint64(SEED)
            for j in range(i, i + n):
                key = (key + codes[j]) * _ROLL
            key |= np.uint64(1)
            slot = np.int64((key * _SPREAD) >> np.uint64(40)) & (room - 1)
            while keys[slot] != 0 and keys[slot] != key:
                slot = slot + 1 & room - 1
            if keys[slot] == 0:
                keys[slot], values[slot] = key, 1 << 32 | i
            else:
                values[slot] += 1 << 32
                times, at = values[slot] >> 32, values[slot] & 0xFFFFFFFF
                if times > most or (times == most and at < most_at):
                    most, most_at = times, at
            level[i] = slot
        if n <= 4:
            row[TOP_2 + n - 2] = most * (places[most_at + n] - places[most_at] + n - 1)
        kept, free = 0, 0
        for k in range(left):
            i = spots[k]
            slot = level[i]
            if values[slot] >> 32 < 2:
                continue
            spots[kept] = i
            kept += 1
            if n >= 5 and i >= free:
                if keys[slot] == 0:
                    row[REPEATED_5 + n - 5] += places[i + n] - places[i]
                    free = i + n
                else:
                    keys[slot] = 0
        # Where the next n begins: two places in a row, and room for one more word.
        left = 0
        for k in range(kept - 1):
            if spots[k + 1] == spots[k] + 1:
                spots[left] = spots[k]
                left += 1
