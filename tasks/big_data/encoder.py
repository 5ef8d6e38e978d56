"""Texts become token ids: by gigatoken where it gives the ids of `tokenizers`, as is seen each time, else by that.

gigatoken (https://github.com/marcelroed/gigatoken) is some fifty times faster and young, so that it is optional and
has to show the same ids on hard cases and on documents of the run before it is believed.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

# Token of `<|endoftext|>`, which ends every document; `tokenizer` makes it the first.
END_OF_TEXT_ID = 0
# Letters and digits that Unicode 17 has and Unicode 16 has not: gigatoken knows them, the regex of `tokenizers` takes
# them for punctuation. Found by comparing both on every code point, which a test does again.
_NEW_IN_UNICODE_17 = (
    (0x88F, 0x88F), (0xC5C, 0xC5C), (0xCDC, 0xCDC), (0xA7CE, 0xA7CF), (0xA7D2, 0xA7D2), (0xA7D4, 0xA7D4),
    (0xA7F1, 0xA7F1), (0x10940, 0x10959), (0x10EC5, 0x10EC7), (0x11DB0, 0x11DDB), (0x11DE0, 0x11DE9),
    (0x16EA0, 0x16EB8), (0x16EBB, 0x16ED3), (0x16FF2, 0x16FF6), (0x187F8, 0x187FF), (0x18D09, 0x18D1E),
    (0x18D80, 0x18DF2), (0x1E6C0, 0x1E6DE), (0x1E6E0, 0x1E6E2), (0x1E6E4, 0x1E6E5), (0x1E6E7, 0x1E6ED),
    (0x1E6F0, 0x1E6F4), (0x1E6FE, 0x1E6FF), (0x2B73A, 0x2B73F), (0x2CEA2, 0x2CEAD), (0x323B0, 0x33479),
)  # fmt: skip
_KNOWN_TO_ONE = "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _NEW_IN_UNICODE_17) + "]"
HARD_CASES = (
    "", " ", "  ", "a", "\n\n\t  \r\n x", "I'll we've he'S don't 'tis ''s 's", "12345 ３ ² ½ Ⅻ ٣", "x" * 300,
    "<|endoftext|>", "a<|endoftext|>b <|endoftext", "größer ẞ ß ſ İıŉ", "e\u0301 é \u0301", "数据模型。中文",
    "👩\u200d👩\u200d👧 🏳️\u200d🌈", "\U0010ffff\ue000\ufffe", "\x00\x1b\x7f\x85", "مرحبا עולם ไทย हिन्दी",
    "\u00a0\u2003x\u3000\u2028y\u200b\ufeff", " \u00a0 \u00a0", "a  b   c    d", "===== ----- _____ ***",
    "\U000323b0's \u088f's",
)  # fmt: skip
# So that a matrix of a batch stays in the cache.
_SHORT_BYTES, _BATCH_ROWS = 1024, 1024
_SAMPLE_DOCUMENTS, _SAMPLE_CHARACTERS = 64, 4096


class Encoded(NamedTuple):
    """Ids of texts one after the other, each with its end token, and how many each has, the end token included."""

    ids: NDArray[np.uint32]
    counts: NDArray[np.int64]


class Encoder:
    """Ids of texts. A text that spells out `<|endoftext|>` does not become it."""

    def __init__(self, tokenizer: bytes, *, may_be_fast: bool) -> None:
        """Load the bytes of a `tokenizer.json`."""
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.encode_special_tokens = True
        self._fast: Any = _load_fast(tokenizer) if may_be_fast else None

    @classmethod
    def checked(cls, tokenizer: bytes, sample: Iterable[str] = ()) -> Self:
        """One that is fast if the fast library agrees on hard cases and on a few texts of `sample`."""
        made = cls(tokenizer, may_be_fast=True)
        if made.is_fast and (differs := made._difference(_some(sample))) is not None:
            logger.warning(
                "gigatoken gives other ids than tokenizers on %r and is not used; encoding takes longer", differs
            )
            made._fast = None
        return made

    @property
    def is_fast(self) -> bool:
        """Whether gigatoken does the work."""
        return self._fast is not None

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: pl.Series) -> Encoded:
        """Ids of a column of texts."""
        rows = np.arange(len(texts))
        if self._fast is None:
            return _in_order(len(texts), self._by_tokenizers(rows, texts))
        is_new = texts.str.contains(_KNOWN_TO_ONE).to_numpy()
        is_short = (texts.str.len_bytes() <= _SHORT_BYTES).to_numpy() & ~is_new
        return _in_order(
            len(texts),
            self._by_tokenizers(rows[is_new], texts.filter(is_new)),
            self._short(rows[is_short], texts.filter(is_short)),
            self._long(rows[~is_short & ~is_new], texts.filter(~is_short & ~is_new)),
        )

    def _by_tokenizers(self, rows: NDArray[np.int64], texts: pl.Series) -> "Iterator[_Part]":
        for row, encoding in zip(rows, self._tokenizer.encode_batch_fast(texts.to_list(), add_special_tokens=False),
                                 strict=True):  # fmt: skip
            yield _Part(row[None], np.array(encoding.ids, dtype=np.uint32), np.array([len(encoding.ids)]))

    def _short(self, rows: NDArray[np.int64], texts: pl.Series) -> "Iterator[_Part]":
        """Many at a time, in one matrix; a call for each would take longer than the work."""
        from gigatoken.gigatoken_rs import PadTruncate

        for start in range(0, len(texts), _BATCH_ROWS):
            some = texts[start : start + _BATCH_ROWS].to_list()
            matrix, counts = self._fast.encode_batch_padded(some, PadTruncate(END_OF_TEXT_ID), parallel=False)
            yield _Part(rows[start : start + _BATCH_ROWS], matrix[np.arange(matrix.shape[1]) < counts[:, None]], counts)

    def _long(self, rows: NDArray[np.int64], texts: pl.Series) -> "Iterator[_Part]":
        for row, text in zip(rows, texts, strict=True):
            ids = self._fast.encode(text.encode())
            yield _Part(row[None], ids, np.array([len(ids)]))

    def _difference(self, sample: Sequence[str]) -> str | None:
        """The first text that the two libraries do not agree on."""
        texts = [*HARD_CASES, *sample]
        # Long ones and short ones go different ways.
        texts.append(" ".join(text for text in texts if not pl.Series([text]).str.contains(_KNOWN_TO_ONE)[0]))
        expected = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids, counts = self.encode(pl.Series(texts, dtype=pl.String))
        found = np.split(ids, np.cumsum(counts)[:-1])
        same = (mine[:-1].tolist() == theirs.ids for mine, theirs in zip(found, expected, strict=True))
        return next((text for text, agrees in zip(texts, same, strict=True) if not agrees), None)


class _Part(NamedTuple):
    """Ids of some rows one after the other, without end tokens."""

    rows: NDArray[np.int64]
    ids: NDArray[np.uint32]
    counts: NDArray[np.int64]


def _in_order(number: int, *parts: Iterator[_Part]) -> Encoded:
    """All parts in the order of rows, an end token after each row."""
    found = list(chain.from_iterable(parts))
    counts = np.zeros(number, dtype=np.int64)
    for part in found:
        counts[part.rows] = part.counts + 1
    starts = np.cumsum(counts) - counts
    ids = np.full(int(counts.sum()), END_OF_TEXT_ID, dtype=np.uint32)
    for part in found:
        if len(part.rows) == 1:
            ids[starts[part.rows[0]] :][: len(part.ids)] = part.ids
            continue
        before = np.cumsum(part.counts) - part.counts
        ids[np.repeat(starts[part.rows] - before, part.counts) + np.arange(len(part.ids))] = part.ids
    return Encoded(ids, counts)


def _load_fast(tokenizer: bytes) -> Any:
    """gigatoken's tokenizer; None where it is not installed or does not take this one."""
    try:
        from gigatoken.gigatoken_rs import load_hf_json

        # Without its special token none is looked for in a text; its id stays in the vocabulary.
        return load_hf_json(json.dumps({**json.loads(tokenizer), "added_tokens": []}))
    except ImportError:
        logger.info("gigatoken is not installed; encoding takes longer: pip install -e '.[big-data]'")
    except (ValueError, RuntimeError) as error:
        logger.warning("gigatoken does not take this tokenizer (%s) and is not used; encoding takes longer", error)
    return None


def _some(sample: Iterable[str]) -> list[str]:
    """The beginnings of the first few texts."""
    return [text[:_SAMPLE_CHARACTERS] for text in islice(sample, _SAMPLE_DOCUMENTS)]
