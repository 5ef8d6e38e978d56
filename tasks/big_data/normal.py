"""Texts become one form of every character and line end: Unicode NFC, line feeds, no control characters.

Two passes over the bytes of a shard: `look` says which documents need something, `rewrite` writes only those anew.
Canonical composition is left to `unicodedata`, for the few documents with characters that it could change.
"""

import unicodedata
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tasks.big_data.octets import eight, is_plain
from tasks.big_data.passes import part_of_a_pass, whole_pass

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Flags = NDArray[np.uint8]

REWRITE, COMPOSE, MOJIBAKE = 1, 2, 4  # bits of a document's flags


def normalised(data: Bytes, offsets: Offsets, flags: Flags, tails: NDArray[np.bool_]) -> tuple[Bytes, Offsets]:
    """The documents in their normal form.

    Args:
        data: UTF-8 of all documents, one after the other.
        offsets: document i is `data[offsets[i]:offsets[i + 1]]`.
        flags: what `look` says of each.
        tails: whether white space at the end of a line of document i means nothing.
    """
    if (flags & REWRITE).any():
        data, offsets = rewrite(data, offsets, flags, tails)
    composed = {}
    for row in np.flatnonzero(flags & COMPOSE).tolist():
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode()
        if not unicodedata.is_normalized("NFC", text):
            composed[row] = unicodedata.normalize("NFC", text).encode()
    return replaced(data, offsets, composed)


def replaced(data: Bytes, offsets: Offsets, new: Mapping[int, bytes]) -> tuple[Bytes, Offsets]:
    """The documents with other bytes in some of them, which are named in rising order."""
    if not new:
        return data, offsets
    lengths = np.diff(offsets)
    pieces: list[memoryview | bytes] = []
    whole, done = data.data, int(offsets[0])
    for row, text in new.items():
        pieces += [whole[done : offsets[row]], text]
        lengths[row] = len(text)
        done = int(offsets[row + 1])
    pieces.append(whole[done : offsets[-1]])
    return np.frombuffer(b"".join(pieces), np.uint8), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


@cache
def composing() -> NDArray[np.bool_]:
    """For each character up to U+FFFF: whether NFC could change a text because it is in it.

    It decomposes by itself, or combines with what stands before it (UAX 15, section 9: Quick_Check is No or Maybe).
    """
    table = np.zeros(0x10000, np.bool_)
    # Ideographs and whole Hangul syllables are as they are.
    for code in (*range(0x300, 0x3400), *range(0xA000, 0xAC00), *range(0xD7A4, 0xD800), *range(0xE000, 0x10000)):
        character = chr(code)
        table[code] = (
            unicodedata.category(character)[0] == "M"
            or 0x1100 <= code < 0x1200  # Hangul letters become syllables
            or not unicodedata.is_normalized("NFC", character)
        )
    return table


def look(data: Bytes, offsets: Offsets, tails: NDArray[np.bool_]) -> Flags:
    """For each document which of `REWRITE`, `COMPOSE`, `MOJIBAKE` may be needed."""
    flags = np.zeros(len(offsets) - 1, np.uint8)
    _look(data, offsets, tails, composing(), flags)
    return flags


@whole_pass
def _look(data: Bytes, offsets: Offsets, tails: NDArray[np.bool_], table: NDArray[np.bool_], flags: Flags) -> None:
    for row in range(len(flags)):
        low, high = offsets[row], offsets[row + 1]
        tail, flag = tails[row], 0
        if high > low:
            last = data[high - 1]
            before = data[high - 2] if high - 2 >= low else np.uint8(10)
            if data[low] == 10 or last == 32 or last == 9 or (last == 10 and (before == 32 or before in (9, 10))):
                flag = REWRITE
        at = low - 1
        while at + 1 < high:
            at += 1
            while at + 8 <= high and is_plain(eight(data, at)):
                at += 8
            if at >= high:
                break
            byte = data[at]
            if byte < 0x80:
                if byte >= 32:
                    if byte == 0x7F:
                        flag |= REWRITE
                elif byte == 10:
                    if tail and at > low and (data[at - 1] == 32 or data[at - 1] == 9):
                        flag |= REWRITE
                elif byte != 9:
                    flag |= REWRITE
            elif byte >= 0xC2:
                flag |= _look_at(data, at, high, table)
        flags[row] = flag


@part_of_a_pass
def _look_at(data: Bytes, at: int, high: int, table: NDArray[np.bool_]) -> int:
    """What the character of several bytes that begins at `at` may need."""
    byte, second = data[at], data[at + 1]
    third = data[at + 2] if at + 2 < high else np.uint8(0)
    if byte == 0xC2:  # C1 controls, among them the next-line U+0085
        return REWRITE if second < 0xA0 else 0
    if byte == 0xC3:
        # UTF-8 of Latin letters read as cp1252 or Latin-1: "Ã" or "Â" and a sign between U+0080 and U+00BF or one
        # of those that cp1252 has there; "â" and "€" or U+0080.
        if second == 0x83 or second == 0x82:
            return MOJIBAKE if third in (0xC2, 0xC5, 0xC6, 0xCB, 0xE2) else 0
        return MOJIBAKE if second == 0xA2 and third in (0xC2, 0xE2) else 0
    if byte < 0xCC:  # below U+0300
        return 0
    if byte < 0xE0:
        return COMPOSE if table[(byte & 0x1F) << 6 | second & 0x3F] else 0
    if byte < 0xF0:
        code = (byte & 0x0F) << 12 | (second & 0x3F) << 6 | third & 0x3F
        if code == 0x2028 or code == 0x2029 or code == 0xFEFF:
            return REWRITE
        return COMPOSE if table[code] else 0
    # Past U+FFFF few but pictures and ideographs of U+20000 to U+2F7FF are common, and they are as they are.
    is_picture = byte == 0xF0 and second == 0x9F
    return 0 if is_picture or (byte == 0xF0 and 0xA0 <= second < 0xAF) else COMPOSE


def rewrite(data: Bytes, offsets: Offsets, flags: Flags, tails: NDArray[np.bool_]) -> tuple[Bytes, Offsets]:
    """Documents flagged `REWRITE` without control characters and blank lines around them, one form of line end.

    Line ends are those of Unicode (section 5.8); a form feed with the line end after it is one end. Controls are C0 but
    tab and line feed, DEL, C1, and the byte order mark, which is none inside a text.
    """
    out = np.empty(offsets[-1] - offsets[0], np.uint8)  # nothing becomes longer
    ends = np.zeros(len(offsets), np.int64)
    _rewrite(data, offsets, flags, tails, out, ends)
    return out[: ends[-1]], ends


@whole_pass
def _rewrite(data: Bytes, offsets: Offsets, flags: Flags, tails: NDArray[np.bool_], out: Bytes, ends: Offsets) -> None:
    to = 0
    for row in range(len(offsets) - 1):
        low, high, start = offsets[row], offsets[row + 1], to
        if not flags[row] & REWRITE:
            for at in range(low, high):
                out[to + at - low] = data[at]
            to += high - low
            ends[row + 1] = to
            continue
        at = low
        while at < high:
            byte = data[at]
            if (byte >= 32 and byte < 0x7F) or byte == 9:
                out[to] = byte
                to += 1
                at += 1
                continue
            width, is_end = _line_end(data, at, high)
            if is_end:
                if tails[row]:
                    while to > start and (out[to - 1] == 32 or out[to - 1] == 9):
                        to -= 1
                if to > start:
                    out[to] = 10
                    to += 1
            elif width == 0:  # an ordinary character of several bytes, byte by byte
                out[to] = byte
                to += 1
                width = 1
            at += width
        if tails[row]:
            while to > start and (out[to - 1] == 32 or out[to - 1] == 9):
                to -= 1
        ended = to > start and out[to - 1] == 10
        while to > start and (out[to - 1] == 32 or out[to - 1] == 9 or out[to - 1] == 10):
            to -= 1
        if ended and to > start:
            out[to] = 10
            to += 1
        ends[row + 1] = to


@part_of_a_pass
def _line_end(data: Bytes, at: int, high: int) -> tuple[int, bool]:
    """How many bytes the line end (True) or the control (False) at `at` has; 0 if it is neither."""
    byte = data[at]
    second = data[at + 1] if at + 1 < high else np.uint8(0)
    if byte == 10:
        return 1, True
    if byte == 13 or byte == 11 or byte == 12:
        return (2 if second == 10 else 1), True
    if byte < 32 or byte == 0x7F:
        return 1, False
    if byte == 0xC2 and second < 0xA0:
        return 2, second == 0x85
    if byte == 0xE2 and second == 0x80 and (data[at + 2] == 0xA8 or data[at + 2] == 0xA9):
        return 3, True
    if byte == 0xEF and second == 0xBB and data[at + 2] == 0xBF:
        return 3, False
    return 0, False
