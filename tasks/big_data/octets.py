"""Eight bytes of a text at a time, as one number: which are letters, and the hash of a word; for numba's passes.

Letters are found by sums that carry into the highest bit of their byte alone ("SIMD within a register",
https://en.wikipedia.org/wiki/SWAR). The hash of a word is read in eights too, so that most words are one step.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from tasks.big_data.characters import SPACE
from tasks.big_data.figures import Bits, Bytes
from tasks.big_data.passes import part_of_a_pass, step_of_a_pass
from tasks.big_data.vocabulary import MULTIPLIER, SEED

# What a part may have: a character beyond ASCII, a letter of `has_rare`, an opening curly bracket.
HAS_HIGH, HAS_RARE, HAS_CURLY = 1, 2, 4
_ONES = 0x0101010101010101
_EACH = np.uint64(_ONES)
_HIGH, _LOW = np.uint64(0x80 * _ONES), np.uint64(0x7F * _ONES)
_CASE = np.uint64(0x20 * _ONES)
_FROM_A, _BEYOND_Z = np.uint64((0x80 - 0x61) * _ONES), np.uint64((0x80 - 0x7B) * _ONES)
_FROM_0, _BEYOND_9 = np.uint64((0x80 - 0x30) * _ONES), np.uint64((0x80 - 0x3A) * _ONES)
_J, _K, _V, _CURLY = (np.uint64(ord(sign) * _ONES) for sign in "jkv{")
_BELOW_SPACE, _DELETE = np.uint64((0x80 - 0x20) * _ONES), np.uint64(0x7F * _ONES)
_BEYOND_BLANK = np.uint64((0x80 - 0x21) * _ONES)
_SEED, _MULTIPLIER = np.uint64(SEED), np.uint64(MULTIPLIER)
_HALF, _ONE, _THREE = np.uint64(32), np.uint64(1), np.uint64(3)


def _code_of_load(_typing: Any, data: Any, at: Any) -> Any:
    """Eight bytes from `at` on, the first in the lowest bits; all of them must be there."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), code


def _code_of_zeros_below(_typing: Any, number: Any) -> Any:
    """Bits below the lowest that is set; 64 of 0."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.uint64(types.uint64), code


# They are typed as numba calls them, not as a pass does.
_load: Any = intrinsic(_code_of_load)
_zeros_below: Any = intrinsic(_code_of_zeros_below)


@part_of_a_pass
def _last(data: Bytes, at: int) -> Any:
    """Fewer than eight bytes, those to the end."""
    value = np.uint64(0)
    for i in range(at, len(data)):
        value |= np.uint64(data[i]) << np.uint64(8 * (i - at))
    return value


@step_of_a_pass
def eight(data: Bytes, at: int) -> Any:
    """Eight bytes from `at` on, zeros beyond the end."""
    if at + 8 <= len(data):
        return _load(data, at)
    return _last(data, at)


@step_of_a_pass
def letters(value: np.uint64) -> Any:
    """How many of eight bytes are letters of ASCII before the first that is none."""
    folded = value & _LOW | _CASE
    are = (folded + _FROM_A) & ~(folded + _BEYOND_Z) & ~value & _HIGH
    return np.int64(_zeros_below(are ^ _HIGH) >> _THREE)


@step_of_a_pass
def letters_and_digits(value: np.uint64) -> Any:
    """How many of eight bytes are letters or digits of ASCII before the first that is neither."""
    low = value & _LOW
    folded = low | _CASE
    are = (folded + _FROM_A) & ~(folded + _BEYOND_Z) | (low + _FROM_0) & ~(low + _BEYOND_9)
    return np.int64(_zeros_below(are & ~value & _HIGH ^ _HIGH) >> _THREE)


@step_of_a_pass
def first(value: np.uint64, size: int) -> Any:
    """The first bytes of eight, fewer than all."""
    return value & ((_ONE << np.uint64(8 * size)) - _ONE)


@step_of_a_pass
def _are(value: np.uint64, sign: np.uint64) -> Any:
    """Not 0 if and only if the sign is among eight bytes (https://graphics.stanford.edu/~seander/bithacks.html)."""
    other = value ^ sign
    return (other - _EACH) & ~other & _HIGH


@step_of_a_pass
def has_rare(value: np.uint64) -> bool:
    """Whether a letter is among eight bytes that is rare and stands in what C4 looks for: J, K, V."""
    folded = value | _CASE
    return bool(_are(folded, _J) | _are(folded, _K) | _are(folded, _V))


@step_of_a_pass
def mixed(code: np.uint64, value: np.uint64) -> Any:
    """Hash of a word that goes on with these eight bytes; `vocabulary.hash_of` says it in Python."""
    code = (code ^ value) * _MULTIPLIER
    return code ^ (code >> _HALF)


@step_of_a_pass
def is_plain(value: np.uint64) -> bool:
    """Whether eight bytes are signs of ASCII that can be seen, and spaces."""
    return bool((value | ~(value + _BELOW_SPACE) | _are(value, _DELETE)) & _HIGH == 0)


@step_of_a_pass
def hash_of_few(value: np.uint64, size: int) -> Any:
    """Hash of a word of eight bytes or fewer, zeros beyond its end."""
    return mixed(_SEED, value) + np.uint64(size)


@part_of_a_pass
def hash_of(data: Bytes, begin: int, end: int) -> Any:
    """Hash of a word."""
    code, i = _SEED, begin
    while i + 8 <= end:
        code = mixed(code, eight(data, i))
        i += 8
    if i < end:
        code = mixed(code, first(eight(data, i), end - i))
    return code + np.uint64(end - begin)


@step_of_a_pass
def has_letter(data: Bytes, begin: int, end: int) -> bool:
    """Whether letters are among letters and digits of ASCII."""
    i = begin
    while i < end and data[i] <= 57:
        i += 1
    return i < end


@part_of_a_pass
def long_word(data: Bytes, begin: int) -> tuple[int, Any, bool]:
    """End of a word of letters that begins here, its hash, and whether J, K or V is in it."""
    code, i, size, is_rare = _SEED, begin, 8, False
    while size == 8:
        value = eight(data, i)
        size = letters(value)
        if size == 0:
            break
        if size < 8:
            value = first(value, size)
        code = mixed(code, value)
        is_rare |= has_rare(value)
        i += size
    return i, code + np.uint64(i - begin), is_rare


@part_of_a_pass
def part_end(data: Bytes, begin: int, end: int, of_byte: Bits) -> tuple[int, int]:
    """Where the part that begins here ends, before a blank; and which of `HAS_HIGH`, `HAS_RARE`, `HAS_CURLY` it has."""
    i, signs = begin, 0
    while i < end:
        value = eight(data, i)
        blanks = ~((value & _LOW) + _BEYOND_BLANK | value) & _HIGH
        size: Any = min(np.int64(_zeros_below(blanks) >> _THREE), end - i)
        if size < 8:
            value = first(value, size)
        signs |= HAS_HIGH * (value & _HIGH != 0) | HAS_RARE * has_rare(value) | HAS_CURLY * (_are(value, _CURLY) != 0)
        i += size
        if size < 8:
            if i >= end or of_byte[data[i]] & SPACE:
                break
            i += 1  # a control character that is no blank
    return i, signs
