"""UTF-8 texts -> words, n-grams of words and what is made of them: all loops over characters and words of `dedup`.

A word is a run of letters, digits, marks and underscores, its case folded up to U+07FF (Latin, Greek, Cyrillic); a
Chinese or Japanese character is a word of its own, because those scripts put no spaces. All else parts words.

One file, because numba's cache of compiled code does not see that a function of another file has changed.
"""

import unicodedata

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.big_data.passes import kernel

Bytes = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

BANDS, ROWS = 28, 4
# Words of an n-gram: of which near copies share most, and of which an evaluation shares none with training text.
NEAR_WORDS, EVALUATION_WORDS = 5, 13
_LANES = BANDS * ROWS
_BITS_A_KEY = 16


def _folded(code: int) -> int:
    """What a character of up to two bytes counts as: 0 white space, 1 another that parts words, else itself."""
    character = chr(code)
    if character.isspace():
        return 0
    if not (character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"):
        return 1
    folded = character.casefold()
    return ord(folded) if len(folded) == 1 else code


_FOLDED = np.array([_folded(code) for code in range(0x800)], dtype=np.uint32)
# By byte: what an ASCII character counts as, and 2 for the bytes of all others.
_WIDE = 2
_ASCII = np.concatenate([_FOLDED[:0x80], np.full(0x80, _WIDE, np.uint32)])
_random = np.random.Generator(np.random.PCG64(20))
_FACTORS = (_random.integers(0, 2**32, _LANES, dtype=np.uint32) | np.uint32(1)).astype(np.uint32)
_TERMS = _random.integers(0, 2**32, _LANES, dtype=np.uint32)
_SPACE = np.uint64(32)
_WORD, _OTHER, _BLANK, _ALONE = 0, 1, 2, 3
_START = np.uint64(0x9E3779B97F4A7C15)
_WORD_FACTOR = np.uint64(0x2127599BF4325C37)
_KEY_FACTOR = np.uint64(0x880355F21E6D1965)
_GRAM_FACTOR = np.uint64(0xD6E8FEB86659FD93)


@njit(inline="always")
def _mixed(value: np.uint64) -> np.uint64:
    """All bits of a number depend on all (https://doi.org/10.1145/2714064.2660195, SplitMix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(inline="always")
def _kind_of_wide(code: np.uint32) -> int:
    """Kind of a character of three or four bytes."""
    if code < 0x2000:
        return _BLANK if code == 0x1680 else _WORD
    if code < 0x2C00:
        blank = code <= 0x200A or code == 0x2028 or code == 0x2029 or code == 0x202F or code == 0x205F
        return _BLANK if blank else _OTHER
    if code < 0x3000:
        return _WORD
    if code < 0x3040:
        return _BLANK if code == 0x3000 else _OTHER
    if code < 0xA000:
        return _ALONE
    if code < 0xFB00:
        return _OTHER if 0xE000 <= code < 0xF900 else _WORD
    if code < 0x10000:
        return _OTHER if 0xFF00 <= code < 0xFF10 or code >= 0xFFE0 else _WORD
    if 0x1F000 <= code < 0x20000:
        return _OTHER
    return _ALONE if 0x20000 <= code < 0x40000 else _WORD


@njit(inline="always")
def _longer(first: np.uint64, second: np.uint64, block: np.uint64, token: np.uint64) -> tuple[np.uint64, ...]:
    """Both halves of a text's key and the key of a block, one more word or character later."""
    return (first ^ token) * _WORD_FACTOR, (second + token) * _KEY_FACTOR, (block ^ token) * _KEY_FACTOR


@njit(inline="always")
def _words(data: Bytes, start: int, end: int, words: U64, key: U64, blocks: U64) -> tuple[int, int]:
    """Number of words and of blocks of a text; the words' hashes, the whole text's key, the blocks go to the arrays.

    `key` is 128 bits that two texts share only if they are the same but for white space and case. A block is what
    stands between blank lines: where it starts, where it ends, its own 64 bits of such a key.
    """
    n, n_blocks, i = 0, 0, start
    word, in_word = _START, False
    first, second, block = _START, _GRAM_FACTOR, _START
    gap, lines, any_yet = False, 0, False
    block_start, last_end = start, start
    while i < end:
        here = i
        byte = np.uint32(data[np.uint64(i)])
        code = _ASCII[byte]
        if code != _WIDE:
            kind = _WORD if code > _WIDE else (_OTHER if code == 1 else _BLANK)
            if kind != _WORD:
                code = byte
            i += 1
        elif byte < 0xE0:
            code = ((byte & np.uint32(0x1F)) << np.uint32(6)) | np.uint32(data[i + 1] & 0x3F)
            folded = _FOLDED[code]
            kind = _WORD if folded > 1 else (_OTHER if folded == 1 else _BLANK)
            if kind == _WORD:
                code = folded
            i += 2
        elif byte < 0xF0:
            code = (
                ((byte & np.uint32(0x0F)) << np.uint32(12))
                | (np.uint32(data[i + 1] & 0x3F) << np.uint32(6))
                | np.uint32(data[i + 2] & 0x3F)
            )
            kind = _kind_of_wide(code)
            i += 3
        else:
            code = (
                ((byte & np.uint32(0x07)) << np.uint32(18))
                | (np.uint32(data[i + 1] & 0x3F) << np.uint32(12))
                | (np.uint32(data[i + 2] & 0x3F) << np.uint32(6))
                | np.uint32(data[i + 3] & 0x3F)
            )
            kind = _kind_of_wide(code)
            i += 4
        if in_word and kind != _WORD:
            words[n] = _mixed(word)
            first, second, block = _longer(first, second, block, words[n])
            n += 1
            word, in_word = _START, False
        if kind == _BLANK:
            gap = True
            lines += code == 10
            continue
        if gap:
            if lines > 1 and any_yet:
                blocks[n_blocks, 0], blocks[n_blocks, 1], blocks[n_blocks, 2] = block_start, last_end, _mixed(block)
                n_blocks += 1
                block_start, block = here, _START
            elif any_yet:
                block = (block ^ _SPACE) * _KEY_FACTOR
            else:
                block_start = here
            if any_yet:
                first = (first ^ _SPACE) * _WORD_FACTOR
                second = (second + _SPACE) * _KEY_FACTOR
            gap, lines = False, 0
        any_yet = True
        if kind == _WORD:
            word = (word ^ np.uint64(code)) * _WORD_FACTOR
            in_word = True
            while i < end:
                code = _ASCII[data[np.uint64(i)]]
                if code <= _WIDE:
                    break
                word = (word ^ np.uint64(code)) * _WORD_FACTOR
                i += 1
        elif kind == _ALONE:
            words[n] = _mixed((_START ^ np.uint64(code)) * _WORD_FACTOR)
            first, second, block = _longer(first, second, block, words[n])
            n += 1
        else:
            first, second, block = _longer(first, second, block, np.uint64(code))
        last_end = i
    if in_word:
        words[n] = _mixed(word)
        first, second, block = _longer(first, second, block, words[n])
        n += 1
    if any_yet:
        blocks[n_blocks, 0], blocks[n_blocks, 1], blocks[n_blocks, 2] = block_start, last_end, _mixed(block)
        n_blocks += 1
    key[0], key[1] = _mixed(first), _mixed(second)
    return n, n_blocks


@njit(inline="always")
def _grams(words: U64, n: int, length: int, grams: U64) -> int:
    """Hashes of all runs of `length` words into `grams`; their number (a rolling polynomial, then mixed)."""
    leaving = np.uint64(1)
    for _ in range(length):
        leaving *= _GRAM_FACTOR
    rolling = np.uint64(0)
    for i in range(n):
        rolling = rolling * _GRAM_FACTOR + words[i]
        if i >= length:
            rolling -= words[i - length] * leaving
        if i >= length - 1:
            grams[i - length + 1] = _mixed(rolling)
    return max(n - length + 1, 0)


@kernel()
def _room(offsets: I64, rows: I64) -> int:
    """Words that the longest of some texts can have, and more than it can have blocks."""
    longest = 0
    for i in range(len(rows)):
        longest = max(longest, offsets[rows[i] + 1] - offsets[rows[i]])
    return longest // 2 + 2


@kernel()
def sketch_texts(
    data: Bytes, offsets: I64, block_bytes: int, counts: I64, keys: U64, bands: U64, block_keys: U64, block_rows: U64
) -> int:
    """Number of words, key of the text and a key for each band of its MinHash signature; keys of the longer blocks.

    Multiply-add of 32 bits a lane (https://doi.org/10.1006/jcss.1999.1690), which compiles to vector instructions.

    Args:
        data, offsets: texts as `text_buffers` gives them.
        block_bytes: blocks of fewer bytes do not count, 0: none does.
        counts, keys, bands: [texts], [texts, 2], [BANDS, texts], to be filled; bands of a text without n-grams are 0.
        block_keys, block_rows: to be filled; `len(data) // block_bytes` are enough.

    Returns:
        Number of blocks.
    """
    n_texts, n_long = len(offsets) - 1, 0
    room = _room(offsets, np.arange(n_texts))
    words, grams, small = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint32)
    blocks, least = np.empty((room, 3), np.uint64), np.empty(_LANES, np.uint32)
    for t in range(n_texts):
        n, n_blocks = _words(data, offsets[t], offsets[t + 1], words, keys[t], blocks)
        counts[t] = n
        if block_bytes:
            for b in range(n_blocks):
                if blocks[b, 1] - blocks[b, 0] >= block_bytes:
                    block_keys[n_long], block_rows[n_long] = blocks[b, 2], t
                    n_long += 1
        n_grams = _grams(words, n, NEAR_WORDS, grams)
        if n_grams == 0:
            bands[:, t] = 0
            continue
        for i in range(n_grams):
            small[i] = np.uint32(grams[i] >> np.uint64(32))
        for lane in range(_LANES):
            factor, term, smallest = _FACTORS[lane], _TERMS[lane], np.uint32(0xFFFFFFFF)
            for i in range(n_grams):
                smallest = min(smallest, np.uint32(small[i] * factor + term))
            least[lane] = smallest
        for band in range(BANDS):
            bits = _mixed(np.uint64(band + 1))
            for row in range(ROWS):
                bits = _mixed(bits ^ np.uint64(least[band * ROWS + row])) + _START
            bands[band, t] = bits | np.uint64(1)
    return n_long


@kernel()
def blocks_of(data: Bytes, offsets: I64, row: int) -> U64:
    """Blocks of one text: where each starts and ends in it, and its key; uint64 [blocks, 3]."""
    room = (offsets[row + 1] - offsets[row]) // 2 + 2
    blocks = np.empty((room, 3), np.uint64)
    _, n_blocks = _words(
        data, offsets[row], offsets[row + 1], np.empty(room, np.uint64), np.empty(2, np.uint64), blocks
    )
    blocks[:, :2] -= np.uint64(offsets[row])
    return blocks[:n_blocks].copy()


@njit(inline="always")
def _place(table: U64, marks: NDArray[np.uint32], mark: np.uint32, gram: np.uint64) -> np.uint64:
    """Place of an n-gram in a hash table, or the free one where it belongs."""
    mask = np.uint64(len(table) - 1)
    place = gram & mask
    while marks[place] == mark and table[place] != gram:
        place = (place + np.uint64(1)) & mask
    return place


@kernel()
def _power_above(number: int) -> int:
    power = 16
    while power < number:
        power *= 2
    return power


@kernel()
def distinct_grams(data: Bytes, offsets: I64, rows: I64, length: int) -> tuple[U64, I64]:
    """The different n-grams of some texts, one text after the other, and where each text's end."""
    room = _room(offsets, rows)
    total = 0
    for i in range(len(rows)):
        total += (offsets[rows[i] + 1] - offsets[rows[i]]) // 2 + 1
    words, grams = np.empty(room, np.uint64), np.empty(room, np.uint64)
    blocks, key = np.empty((room, 3), np.uint64), np.empty(2, np.uint64)
    size = _power_above(2 * room)
    table, marks = np.empty(size, np.uint64), np.zeros(size, np.uint32)
    found, ends, n_found = np.empty(total, np.uint64), np.zeros(len(rows) + 1, np.int64), 0
    for i in range(len(rows)):
        n, _ = _words(data, offsets[rows[i]], offsets[rows[i] + 1], words, key, blocks)
        n_grams = _grams(words, n, length, grams)
        small = _power_above(2 * n_grams)
        mark = np.uint32(i + 1)
        for g in range(n_grams):
            place = _place(table[:small], marks[:small], mark, grams[g])
            if marks[place] != mark:
                table[place], marks[place] = grams[g], mark
                found[n_found] = grams[g]
                n_found += 1
        ends[i + 1] = n_found
    return found[:n_found].copy(), ends


@kernel()
def shared_grams(grams: U64, ends: I64, firsts: I64, seconds: I64) -> I64:
    """How many of their different n-grams two texts share, for each pair; those with the same first stand together."""
    longest = 0
    for t in range(len(ends) - 1):
        longest = max(longest, ends[t + 1] - ends[t])
    size = _power_above(2 * longest)
    table, marks = np.empty(size, np.uint64), np.zeros(size, np.uint32)
    shared = np.zeros(len(firsts), np.int64)
    mark, small = np.uint32(0), 16
    for p in range(len(firsts)):
        first, second = firsts[p], seconds[p]
        if p == 0 or first != firsts[p - 1]:
            mark += np.uint32(1)
            small = _power_above(2 * (ends[first + 1] - ends[first]))
            for g in range(ends[first], ends[first + 1]):
                place = _place(table[:small], marks[:small], mark, grams[g])
                table[place], marks[place] = grams[g], mark
        for g in range(ends[second], ends[second + 1]):
            shared[p] += marks[_place(table[:small], marks[:small], mark, grams[g])] == mark
    return shared


@kernel()
def likely_repeated(keys: U64) -> I64:
    """Where keys are that may be there more than once, in order: all that are, and few of the others.

    One bit for each key, at the place that its bits say, tells at a quarter of the price of sorting them which are not
    worth it. Keys are hashes; 0 is none.
    """
    size = _power_above(max(_BITS_A_KEY * len(keys) // 64, 1))
    once, twice = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    mask, six, low = np.uint64(size * 64 - 1), np.uint64(6), np.uint64(63)
    for i in range(len(keys)):
        # The lowest bit of a band's key is always set.
        place = (keys[i] >> np.uint64(1)) & mask
        bit = np.uint64(keys[i] != 0) << (place & low)
        twice[place >> six] |= once[place >> six] & bit
        once[place >> six] |= bit
    found, n = np.empty(len(keys), np.int64), 0
    for i in range(len(keys)):
        place = (keys[i] >> np.uint64(1)) & mask
        found[n] = i
        n += (twice[place >> six] >> (place & low)) & np.uint64(keys[i] != 0)
    return found[:n].copy()


@njit(inline="always")
def _has(places: I64, place: np.int64) -> bool:
    """Whether it is among a few."""
    found = False
    for other in places:
        found |= other == place
    return found


# Without numba's own sort and `any`: to load a kernel with these imports scipy, a tenth of a second at every start.
@kernel()
def pairs_of_runs(keys: U64, order_bits: int, most: int, best: U64) -> U64:
    """Pairs of texts whose keys are the same.

    Args:
        keys: sorted; the upper bits are the key, the `order_bits` lower ones the text's place.
        order_bits: bits of the place.
        most: in a run of at most so many all pairs count; in a longer one each text is paired with the `most` that
            stand first in `best`, so that a million pages of one template stay a few million pairs.
        best: rank of each text, the smaller the better.

    Returns:
        Pairs, the smaller place in the upper half of 64 bits.
    """
    mask = (np.uint64(1) << np.uint64(order_bits)) - np.uint64(1)
    pairs, n = np.empty(1024, np.uint64), 0
    chosen = np.empty(most, np.int64)
    start = 0
    while start < len(keys):
        end = start + 1
        while end < len(keys) and keys[end] >> np.uint64(order_bits) == keys[start] >> np.uint64(order_bits):
            end += 1
        size = end - start
        heads = min(size, most)
        if size > 1:
            while n + heads * size > len(pairs):
                longer = np.empty(2 * len(pairs), np.uint64)
                longer[:n] = pairs[:n]
                pairs = longer
            if size <= most:
                for i in range(size):
                    chosen[i] = np.int64(keys[start + i] & mask)
            else:
                for j in range(size):
                    place, at = np.int64(keys[start + j] & mask), min(j, most)
                    while at > 0 and best[place] < best[chosen[at - 1]]:
                        if at < most:
                            chosen[at] = chosen[at - 1]
                        at -= 1
                    if at < most:
                        chosen[at] = place
            for i in range(heads):
                for j in range(start, end):
                    other = np.int64(keys[j] & mask)
                    # A pair of two heads comes once.
                    if chosen[i] < other or (chosen[i] > other and size > most and not _has(chosen, other)):
                        low, high = min(chosen[i], other), max(chosen[i], other)
                        pairs[n] = (np.uint64(low) << np.uint64(32)) | np.uint64(high)
                        n += 1
        start = end
    return pairs[:n].copy()


@kernel()
def chosen_keepers(order: I64, starts: I64, others: I64) -> I64:
    """In order of rank, a text that nothing better stands for is kept, and stands for its neighbours.

    Args:
        order: texts, the best first.
        starts, others: neighbours of text t are others[starts[t]:starts[t + 1]].

    Returns:
        For each text the one that stands for it, -1 where it is kept.
    """
    keeper = np.full(len(order), -1, np.int64)
    for t in order:
        if keeper[t] == -1:
            for e in range(starts[t], starts[t + 1]):
                # Better ones that are kept would have removed this text.
                if keeper[others[e]] == -1 and others[e] != t:
                    keeper[others[e]] = t
    return keeper


@kernel()
def grouped(n: int, firsts: I64, seconds: I64) -> I64:
    """Union-find: for each of n texts the smallest one that pairs lead to."""
    root = np.arange(n)
    for p in range(len(firsts)):
        first, second = firsts[p], seconds[p]
        while root[first] != first:
            root[first] = root[root[first]]
            first = root[first]
        while root[second] != second:
            root[second] = root[root[second]]
            second = root[second]
        root[max(first, second)] = min(first, second)
    for t in range(n):  # smaller ones are done
        root[t] = root[root[t]]
    return root


@kernel()
def evaluation_hits(data: Bytes, offsets: I64, filter_bits: U64, known: U64) -> I64:
    """N-grams of texts that an evaluation has too.

    Args:
        data, offsets: texts.
        filter_bits: [power of two], one bit set for each known n-gram, so that most others cost one look.
        known: the n-grams, sorted.

    Returns:
        Row and place in `known` of each n-gram found, repeats included.
    """
    n_texts = len(offsets) - 1
    room = _room(offsets, np.arange(n_texts))
    words, grams = np.empty(room, np.uint64), np.empty(room, np.uint64)
    blocks, key = np.empty((room, 3), np.uint64), np.empty(2, np.uint64)
    found, n_found = np.empty((1024, 2), np.int64), 0
    mask = np.uint64(len(filter_bits) * 64 - 1)
    for t in range(n_texts):
        n, _ = _words(data, offsets[t], offsets[t + 1], words, key, blocks)
        for g in range(_grams(words, n, EVALUATION_WORDS, grams)):
            bit = grams[g] & mask
            if not (filter_bits[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1):
                continue
            place = np.searchsorted(known, grams[g])
            if place < len(known) and known[place] == grams[g]:
                if n_found == len(found):
                    longer = np.empty((2 * n_found, 2), np.int64)
                    longer[:n_found] = found
                    found = longer
                found[n_found, 0], found[n_found, 1] = t, place
                n_found += 1
    return found[:n_found].copy()
