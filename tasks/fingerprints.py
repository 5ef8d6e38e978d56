"""Digests in hex -> their first 64 bits, sorted, in one small file: what was seen, without saying what it was.

Two of a billion documents share a fingerprint with a probability of 3 in 100; one document is then taken for known.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Fingerprints = NDArray[np.uint64]
_HEX_DIGITS = 16


def fingerprints(digests: Iterable[str]) -> Fingerprints:
    """One for each digest, in its order."""
    return np.array([int(digest[:_HEX_DIGITS], 16) for digest in digests], dtype=np.uint64)


def write_fingerprints(path: Path, digests: Iterable[str]) -> None:
    """Write a sorted set of them: same digests in any order, same bytes."""
    np.save(path, np.unique(fingerprints(digests)))


def read_fingerprints(path: Path) -> Fingerprints:
    """What was written."""
    found: Fingerprints = np.load(path, allow_pickle=False)
    return found
