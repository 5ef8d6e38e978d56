"""Where in a column of texts personal data can begin: one pass over its UTF-8 bytes, without the interpreter's lock.

A mark is a row, a position in it in characters and the family of patterns to try there. Nothing that a pattern would
find is left unmarked; `personal.py` judges what a mark is worth, and most texts have none.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.big_data.passes import part_of_a_pass, step_of_a_pass, whole_pass
from tasks.big_data.personal_checks import IBAN_LENGTHS

AT: Final = 1  # "@"
URL: Final = 2  # "://"
BEGIN: Final = 3  # "-----BEGIN"
KEY: Final = 4  # the prefix of an API key
NUMBER: Final = 5  # a run of digits and what separates them
HEX: Final = 6  # hexadecimal groups between colons, hyphens or dots
IBAN: Final = 7  # two letters, two digits

_MIN_DIGITS, _MIN_ADDRESS_DIGITS, _ADDRESS_DOTS = 7, 5, 3
_MAX_BARE_DIGITS = 8  # so few digits mean nothing without a sign or a word beside them
_USER_BYTES = 1024  # of a name and a password
_MIN_IBAN = 13  # characters after the country, in Norway
_FILLER = 32  # bytes between that word and the digits
_MAX_GAP = 3  # separators between two digits of one number

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def _table(*groups: tuple[bytes, int]) -> Bytes:
    table = np.zeros(256, np.uint8)
    for characters, value in groups:
        table[list(characters)] = value
    return table


_DIGITS, _LETTERS = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORD = _table((_DIGITS, 1), (_LETTERS, 2), (b"_", 3))
_HEX = _table((_DIGITS, 1), (b"ABCDEFabcdef", 2))
# By two letters in any case: whether a country has IBANs.
_COUNTRIES = np.zeros((32, 32), np.uint8)
_COUNTRIES[tuple(zip(*((ord(c[0]) & 31, ord(c[1]) & 31) for c in IBAN_LENGTHS), strict=True))] = 1
_LOCAL_END = _table((_DIGITS, 1), (_LETTERS, 1), (b"_.+%'-", 1))
_URL_END = _table((b" \t\n\r\x0b\x0c/", 1))
_GAP = _table((b" .-/()", 1))
_STOPS = _table((_DIGITS, 1), (b"@", 2), (b":", 3), (b"-", 4), (b"_", 5), (b"AJG", 6), (b".", 7))


@step_of_a_pass
def _at(data: Bytes, i: int, low: int, high: int) -> int:
    return data[i] if low <= i < high else 0


@part_of_a_pass
def _is(data: Bytes, i: int, low: int, high: int, text: bytes) -> bool:
    """Whether `text` stands at `i`."""
    if i < low or i + len(text) > high:
        return False
    for k in range(len(text)):  # noqa: SIM110  # numba has no any() of a generator
        if data[i + k] != text[k]:
            return False
    return True


@part_of_a_pass
def _gap(data: Bytes, i: int, high: int) -> int:
    """Bytes of the separator at `i`: 0 if there is none."""
    byte = data[i]
    if _GAP[byte]:
        return 1
    if byte == 0xC2 and i + 1 < high and data[i + 1] == 0xA0:  # no-break space
        return 2
    if byte == 0xE2 and i + 2 < high and data[i + 1] == 0x80 and data[i + 2] in (0x89, 0x91, 0x93, 0xAF):
        return 3  # thin space, no-break hyphen, en dash, narrow no-break space
    return 0


@part_of_a_pass
def _has_user(data: Bytes, i: int, high: int) -> bool:
    """Whether the part of a URL that begins at `i` and ends with a slash or a space has an "@"."""
    for k in range(i, min(i + _USER_BYTES, high)):
        if data[k] == ord("@"):
            return True
        if _URL_END[data[k]]:
            return False
    return False


@part_of_a_pass
def _number(data: Bytes, i: int, high: int) -> tuple[int, int, int]:
    """End of the number whose first digit is at `i`, its digits, and its dots between digits."""
    end, digits, dots = i, 0, 0
    while True:
        while end < high and _WORD[data[end]] == 1:
            end += 1
            digits += 1
        ahead, gaps = end, 0
        while gaps < _MAX_GAP and ahead < high:
            size = _gap(data, ahead, high)
            if not size:
                break
            ahead += size
            gaps += 1
        if ahead >= high or not gaps or _WORD[data[ahead]] != 1:
            return end, digits, dots
        dots += gaps == 1 and data[end] == ord(".")
        end = ahead


@part_of_a_pass
def _is_date(data: Bytes, i: int, end: int) -> bool:
    """31.12.2024 or 2024-12-31."""
    if end - i != 10:
        return False
    german = data[i + 2] == ord(".") and data[i + 5] == ord(".")
    iso = data[i + 4] == ord("-") and data[i + 7] == ord("-")
    return german or iso


@part_of_a_pass
def _has_word(data: Bytes, i: int, end: int, low: int, high: int) -> bool:
    """Whether a plus or a letter before, or a letter after, can say what the number from `i` to `end` is."""
    for k in range(end, min(end + 4, high)):
        if _WORD[data[k]] == 2 or data[k] >= 0x80:
            return not _is_date(data, i, end)
    lines = 0
    for k in range(i - 1, max(low, i - _FILLER) - 1, -1):
        kind = _WORD[data[k]]
        if kind == 2 or data[k] >= 0x80 or data[k] == ord("+"):
            return not _is_date(data, i, end)
        lines += data[k] == ord("\n")
        if kind == 1 or lines == 2:
            return False
    return False


@part_of_a_pass
def _hex_groups(data: Bytes, i: int, low: int, high: int) -> int:
    """Where groups of hexadecimal digits begin whose first separator is at `i`; -1 if there are none."""
    start = i
    while start > low and i - start < 5 and _HEX[data[start - 1]]:
        start -= 1
    mark = data[i]
    if not 1 <= i - start <= 4 or (start > low and (_WORD[data[start - 1]] or data[start - 1] == mark)):
        return -1
    groups, k, single = 1, i, 0
    while groups < 4 and k < high and data[k] == mark:
        k += 1
        if mark == ord(":") and k < high and data[k] == mark:
            k += 1
        first = k
        while k < high and k - first < 5 and _HEX[data[k]]:
            single += _HEX[data[k]] == 2
            k += 1
        if not 1 <= k - first <= 4:
            break
        groups += 1
    if mark == ord(".") and (groups != 3 or k - start != 14 or i - start != 4):
        return -1
    return start if groups >= 4 or (mark == ord(".") and groups == 3) else -1


@part_of_a_pass
def _is_long(data: Bytes, i: int, high: int) -> bool:
    """Whether two digits at `i` and what follows, but for single spaces, are enough characters for an IBAN."""
    characters, k = 0, i
    while k < high and characters < _MIN_IBAN:
        if _WORD[data[k]] in (1, 2):
            if characters < 2 and _WORD[data[k]] != 1:
                return False
            characters += 1
            k += 1
        else:
            gap = _gap(data, k, high)
            k += gap
            if not gap or characters < 2 or k >= high or _WORD[data[k]] not in (1, 2):
                return False
    return characters == _MIN_IBAN


@part_of_a_pass
def _key_at(data: Bytes, i: int, low: int, high: int) -> int:
    """Where an API key begins whose telling byte is at `i`; -1 if none does."""
    byte, start = data[i], -1
    if byte == ord("_"):
        if (
            _is(data, i - 3, low, high, b"ghp") or _is(data, i - 3, low, high, b"gho")
            or _is(data, i - 3, low, high, b"ghu") or _is(data, i - 3, low, high, b"ghs")
            or _is(data, i - 3, low, high, b"ghr") or _is(data, i - 3, low, high, b"npm")
            or _is(data, i - 3, low, high, b"dop")
        ):  # fmt: skip
            start = i - 3
        elif _is(data, i - 6, low, high, b"github"):
            start = i - 6
        elif (
            _is(data, i - 2, low, high, b"hf")
            or _is(data, i - 2, low, high, b"sk")
            or _is(data, i - 2, low, high, b"rk")
        ):
            start = i - 2
    elif byte == ord("-"):
        if _is(data, i - 4, low, high, b"xox"):
            start = i - 4
        elif _is(data, i - 5, low, high, b"glpat"):
            start = i - 5
        elif _is(data, i - 4, low, high, b"pypi"):
            start = i - 4
        elif _is(data, i - 2, low, high, b"sk"):
            start = i - 2
    elif byte == ord("A"):
        if _is(data, i, low, high, b"AKIA") or _is(data, i, low, high, b"ASIA") or _is(data, i, low, high, b"AIza"):
            start = i
    elif byte == ord("J"):
        if _is(data, i - 2, low, high, b"ey"):
            start = i - 2
    elif _is(data, i - 1, low, high, b"SG."):
        start = i - 1
    return -1 if start > low and _WORD[data[start - 1]] else start


@part_of_a_pass
def _characters(data: Bytes, start: int, end: int) -> int:
    """Characters that begin in these bytes."""
    found = 0
    for i in range(start, end):
        found += (data[i] & 0xC0) != 0x80
    return found


@whole_pass
def _scan(data: Bytes, offsets: Ints, rows: Ints, places: Ints, families: Bytes) -> int:
    """Fill the three arrays with marks; how many there are, which may be more than fit."""
    count, room = 0, len(rows)
    for row in range(len(offsets) - 1):
        low, high = offsets[row], offsets[row + 1]
        counted, characters = low, 0  # characters before `counted`, as few texts have marks
        run_end, i = low, low - 1
        while True:
            i += 1
            while i + 4 <= high and not (
                _STOPS[data[i]] | _STOPS[data[i + 1]] | _STOPS[data[i + 2]] | _STOPS[data[i + 3]]
            ):
                i += 4
            while i < high and not _STOPS[data[i]]:
                i += 1
            if i >= high:
                break
            byte, at, family = data[i], -1, 0
            stop = _STOPS[byte]
            if stop == 1:
                if i >= run_end:
                    letters = i >= low + 2 and _WORD[data[i - 1]] == 2 and _WORD[data[i - 2]] == 2
                    letters = letters and _COUNTRIES[data[i - 2] & 31, data[i - 1] & 31] == 1
                    if letters and not (i > low + 2 and _WORD[data[i - 3]]) and _is_long(data, i, high):
                        characters += _characters(data, counted, i - 2)
                        counted = i - 2
                        if count < room:
                            rows[count], places[count], families[count] = row, characters, IBAN
                        count += 1
                    run_end, digits, dots = _number(data, i, high)
                    if dots >= _ADDRESS_DOTS:
                        enough = digits >= _MIN_ADDRESS_DIGITS
                    elif digits > _MAX_BARE_DIGITS:
                        enough = not _is_date(data, i, run_end)
                    else:
                        enough = digits >= _MIN_DIGITS and _has_word(data, i, run_end, low, high)
                    if enough:
                        at, family = i, NUMBER
            elif stop == 2:
                before, after = _at(data, i - 1, low, high), _at(data, i + 1, low, high)
                if (_LOCAL_END[before] or before >= 0x80) and (_WORD[after] in (1, 2) or after >= 0x80):
                    at, family = i, AT
            elif stop == 3:
                if _at(data, i + 1, low, high) == ord("/"):
                    if _at(data, i + 2, low, high) == ord("/") and _has_user(data, i + 3, high):
                        at, family = i, URL
                else:
                    at, family = _hex_groups(data, i, low, high), HEX
            elif stop == 4:
                if _is(data, i, low, high, b"-----BEGIN"):
                    at, family = i, BEGIN
                else:
                    at, family = _key_at(data, i, low, high), KEY
                    if at < 0:
                        at, family = _hex_groups(data, i, low, high), HEX
            elif stop == 7:
                if _at(data, i + 5, low, high) == byte:
                    at, family = _hex_groups(data, i, low, high), HEX
            else:
                at, family = _key_at(data, i, low, high), KEY
            if at >= 0:
                if at > counted:
                    characters += _characters(data, counted, at)
                    counted = at
                if count < room:  # between `at` and `i` are ASCII characters alone
                    rows[count], places[count], families[count] = row, characters - (counted - at), family
                count += 1
    return count


def marks(data: Bytes, offsets: Ints) -> tuple[Ints, Ints, Bytes]:
    """Rows, positions in characters and families of all marks, in the order of rows."""
    room = max(1024, len(data) // 512)
    while True:
        rows, places, families = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
        count = int(_scan(data, offsets, rows, places, families))
        if count <= room:
            return rows[:count], places[:count], families[:count]
        room = count
