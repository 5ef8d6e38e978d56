"""Documents -> what they are like in a few numbers, and how far two such profiles are apart.

A profile travels with a release, so that later documents can be held against those that it was made of. No language is
identified: the distribution of byte 3-grams changes with language, script, subject and format alike, and says so early.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

_BUCKETS_LOG2 = 10
# Knuth's multiplicative hash, The Art of Computer Programming 3, section 6.4.
_SPREAD = np.uint32(2_654_435_761)
_LENGTHS = 32


class Profile(BaseModel):
    """Counts, so that two profiles can be added; distances are between their shares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: int
    size_bytes: int
    trigrams: tuple[int, ...] = Field(description="byte 3-grams by hash")
    lengths: tuple[int, ...] = Field(description="documents by the binary logarithm of their length in bytes")

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> Self:
        """Profile of texts."""
        trigrams = np.zeros(1 << _BUCKETS_LOG2, dtype=np.int64)
        lengths = np.zeros(_LENGTHS, dtype=np.int64)
        documents = size = 0
        for text in texts:
            documents, size = documents + 1, size + len(text)
            lengths[min(len(text).bit_length(), _LENGTHS - 1)] += 1
            trigrams += _count_trigrams(text)
        return cls(
            documents=documents, size_bytes=size, trigrams=tuple(trigrams.tolist()), lengths=tuple(lengths.tolist())
        )

    def __add__(self, other: Self) -> Self:
        """Profile of both."""
        return type(self)(
            documents=self.documents + other.documents,
            size_bytes=self.size_bytes + other.size_bytes,
            trigrams=tuple(map(sum, zip(self.trigrams, other.trigrams, strict=True))),
            lengths=tuple(map(sum, zip(self.lengths, other.lengths, strict=True))),
        )


def _count_trigrams(text: bytes) -> NDArray[np.int64]:
    array = np.frombuffer(text, dtype=np.uint8).astype(np.uint32)
    whole = (array[:-2] << np.uint32(16)) | (array[1:-1] << np.uint32(8)) | array[2:]
    return np.bincount((whole * _SPREAD) >> np.uint32(32 - _BUCKETS_LOG2), minlength=1 << _BUCKETS_LOG2)


def text_divergence(left: Profile, right: Profile) -> float:
    """Jensen-Shannon divergence of the byte 3-grams, in bits: 0 for the same shares, 1 if they have nothing in common.

    https://doi.org/10.1109/18.61115
    """
    p, q = _shares(left.trigrams), _shares(right.trigrams)
    return max(0.0, _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2)


def length_distance(left: Profile, right: Profile) -> float:
    """Kolmogorov-Smirnov distance of the lengths: the largest difference of the shares that are shorter than any."""
    return float(np.abs(np.cumsum(_shares(left.lengths)) - np.cumsum(_shares(right.lengths))).max())


def _shares(counts: Sequence[int]) -> NDArray[np.float64]:
    array = np.array(counts, dtype=np.float64)
    return array / max(array.sum(), 1.0)


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())
