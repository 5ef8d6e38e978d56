"""What occurs again in a document: lines, paragraphs, n-grams of words; by numba, in time that grows with the words."""

import numpy as np

from tasks.big_data.figures import REPEATED_5, REPEATED_FILLED_CHARACTERS, REPEATED_LINES, TOP_2, Bytes, Codes, Ints
from tasks.big_data.passes import part_of_a_pass
from tasks.big_data.vocabulary import SEED

# Odd numbers of no meaning, from SplitMix64 and wyhash.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
ROLL = np.uint64(0xD6E8FEB86659FD93)
_ROLL_5 = np.uint64(pow(0xD6E8FEB86659FD93, 5, 1 << 64))
_LEAST_BITS = 10


@part_of_a_pass
def repeats(found: Codes, sizes: Ints, n: int, keys: Codes, row: Ints, column: int) -> None:
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


@part_of_a_pass
def most_repeated(codes: Codes, places: Ints, words: int, seen: Bytes) -> int:
    """Characters in all runs of five words that may have occurred before, by one bit of their hash.

    What an n-gram of 5 to 10 words repeats is in such runs: none of the six figures of `ngrams` is more than this.
    """
    if words < 5:
        return 0
    bits = _LEAST_BITS
    while 1 << bits < 8 * words:
        bits += 1
    seen[: 1 << bits] = 0
    found, free, shift = 0, 0, np.uint64(64 - bits)
    key = np.uint64(0)
    for i in range(4):
        key = (key + codes[i]) * ROLL
    for i in range(words - 4):
        key = (key + codes[i + 4]) * ROLL
        slot = np.int64((key * _SPREAD) >> shift)
        if seen[slot]:
            found += places[i + 5] - max(places[i], free)
            free = places[i + 5]
        seen[slot] = 1
        # Without the run's first word, which has been multiplied five times.
        key -= codes[i] * _ROLL_5
    return found


@part_of_a_pass
def ngrams(
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
                key = (key + codes[j]) * ROLL
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
