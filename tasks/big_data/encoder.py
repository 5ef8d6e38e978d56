"""Texts become token ids: by gigatoken where it gives the ids of `tokenizers`, as is seen each time, else by that.

gigatoken (https://github.com/marcelroed/gigatoken) is some fifty times faster and young, so that it is optional and
has to show the same ids on hard cases and on documents of the run before it is believed.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import chain, islice
from operator import or_
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
KNOWN_TO_ONE = "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _NEW_IN_UNICODE_17) + "]"
# First bytes of them in UTF-8.
_LEADS = sorted({chr(edge).encode()[:1] for edges in _NEW_IN_UNICODE_17 for edge in edges})
HARD_CASES = (
    "", " ", "  ", "a", "\n\n\t  \r\n x", "I'll we've he'S don't 'tis ''s 's", "12345 ３ ² ½ Ⅻ ٣", "x" * 300,
    "<|endoftext|>", "a<|endoftext|>b <|endoftext", "größer ẞ ß ſ İıŉ", "e\u0301 é \u0301", "数据模型。中文",
    "👩\u200d👩\u200d👧 🏳️\u200d🌈", "\U0010ffff\ue000\ufffe", "\x00\x1b\x7f\x85", "مرحبا עולם ไทย हिन्दी",
    "\u00a0\u2003x\u3000\u2028y\u200b\ufeff", " \u00a0 \u00a0", "a  b   c    d", "===== ----- _____ ***",
    "\U000323b0's \u088f's",
)  # fmt: skip
# Texts of a call: so many that it does not count, so few that they stay in the cache.
_AT_ONCE = 1024
_SAMPLE_DOCUMENTS, _SAMPLE_CHARACTERS = 64, 4096


Ids = NDArray[np.unsignedinteger]


class Encoded(NamedTuple):
    """Ids of texts one after the other, each with its end token, and how many each has, the end token included."""

    ids: Ids
    counts: NDArray[np.int64]


class Encoder:
    """Ids of texts. A text that spells out `<|endoftext|>` does not become it."""

    def __init__(self, tokenizer: bytes, *, may_be_fast: bool) -> None:
        """Load the bytes of a `tokenizer.json`."""
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.encode_special_tokens = True
        self._end = str(self._tokenizer.id_to_token(END_OF_TEXT_ID))
        self._fast: Any = _load_fast(tokenizer, self._end) if may_be_fast else None

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

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest type that takes every token."""
        return np.dtype(np.uint16 if self.vocab_size <= np.iinfo(np.uint16).max else np.uint32)

    def encode(self, texts: pl.Series) -> Encoded:
        """Ids of a column of texts."""
        parts = [self._some(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
        empty = np.empty(0, self.dtype), np.empty(0, np.int64)
        ids, counts = zip(empty, *parts, strict=True)
        return Encoded(np.concatenate(ids), np.concatenate(counts))

    def _some(self, texts: pl.Series) -> Encoded:
        is_odd = self._is_odd(texts)
        ids, ends = self._together(texts.set(pl.Series(is_odd), "") if is_odd.any() else texts)
        if len(ends) != len(texts):  # the library is not what it was when it was checked
            is_odd[:] = True
            ids, ends = _only_ends(len(texts), self.dtype)
        return self._with_odd(ids, ends, texts, is_odd)

    def _together(self, texts: pl.Series) -> tuple[Ids, NDArray[np.int64]]:
        """Ids of texts by one call, as one for each takes longer, and the places of their end tokens."""
        if self._fast is None:
            return _only_ends(len(texts), self.dtype)
        from gigatoken.gigatoken_rs import BytesSource, PadTruncate

        # The empty text after them has the last of them end, too.
        data = pl.concat([texts, pl.Series([""])]).str.join(self._end).cast(pl.Binary).item()
        # This way in releases the GIL.
        ((ids,), _) = self._fast.encode_batch_padded(BytesSource(data), PadTruncate(END_OF_TEXT_ID), parallel=False)
        ids = ids.astype(self.dtype)
        return ids, np.flatnonzero(ids == END_OF_TEXT_ID)

    def _is_odd(self, texts: pl.Series) -> NDArray[np.bool_]:
        """Whether a text spells out the end token, or has what the fast library knows better, if there is one."""
        if self._fast is None:
            return np.ones(len(texts), np.bool_)
        data = texts.cast(pl.Binary)
        is_odd = data.bin.contains(self._end.encode()).to_numpy(writable=True)
        # A search for a byte is far faster than one for a class of characters.
        rows = reduce(or_, (data.bin.contains(lead) for lead in _LEADS)).arg_true()
        is_odd[rows.to_numpy()] |= texts[rows].str.contains(KNOWN_TO_ONE).to_numpy()
        return is_odd

    def _with_odd(self, ids: Ids, ends: NDArray[np.int64], texts: pl.Series, is_odd: NDArray[np.bool_]) -> Encoded:
        """Put ids of odd texts, which `tokenizers` gives, before their end tokens."""
        counts = np.diff(ends, prepend=-1)
        if is_odd.any():
            given = self._tokenizer.encode_batch_fast(texts.filter(is_odd).to_list(), add_special_tokens=False)
            lengths = np.array([len(each.ids) for each in given])
            theirs = np.fromiter(chain.from_iterable(each.ids for each in given), self.dtype, lengths.sum())
            ids = np.insert(ids, np.repeat(ends[is_odd], lengths), theirs)
            counts[is_odd] += lengths
        return Encoded(ids, counts)

    def _difference(self, sample: Sequence[str]) -> str | None:
        """The first text that the two libraries do not agree on."""
        texts = [*HARD_CASES, *sample]
        expected = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids, counts = self.encode(pl.Series(texts, dtype=pl.String))
        found = np.split(ids, np.cumsum(counts)[:-1])
        same = (mine[:-1].tolist() == theirs.ids for mine, theirs in zip(found, expected, strict=True))
        return next((text for text, agrees in zip(texts, same, strict=True) if not agrees), None)


def _only_ends(number: int, dtype: np.dtype[Any]) -> tuple[Ids, NDArray[np.int64]]:
    """What texts without a token become."""
    return np.full(number, END_OF_TEXT_ID, dtype), np.arange(number)


def _load_fast(tokenizer: bytes, end: str) -> Any:
    """gigatoken's tokenizer; None where it is not installed or does not take this one."""
    try:
        from gigatoken.gigatoken_rs import load_hf_json

        # Only the end token is looked for in what it is given.
        only = {"id": END_OF_TEXT_ID, "content": end, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True}  # fmt: skip
        return load_hf_json(json.dumps({**json.loads(tokenizer), "added_tokens": [only]}))
    except ImportError:
        logger.info("gigatoken is not installed; encoding takes longer: pip install -e '.[big-data]'")
    except (ValueError, RuntimeError) as error:
        logger.warning("gigatoken does not take this tokenizer (%s) and is not used; encoding takes longer", error)
    return None


def _some(sample: Iterable[str]) -> list[str]:
    """The beginnings of the first few texts."""
    return [text[:_SAMPLE_CHARACTERS] for text in islice(sample, _SAMPLE_DOCUMENTS)]
