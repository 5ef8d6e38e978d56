"""Which documents are held out: decided by a hash of the id alone, so that order, number and place do not matter."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.fingerprints import Fingerprints, read_fingerprints
from tasks.params import Pack

# Not the id itself, whose digits serve other ends.
_SALT = b"held-out:"
TRAINED_FILE = "trained.npy"  # of the base
MOST = 5  # at most one document in so many is held out to reach `min_held_out`


def scores(document_ids: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits that only the id decides: a document below the share is held out, now and in every later run."""
    sha256 = hashlib.sha256
    first = (sha256(_SALT + document_id.encode()).digest()[:8] for document_id in document_ids)
    return np.frombuffer(b"".join(first), dtype=">u8").astype(np.uint64)


def score(document_id: str) -> int:
    """Of one document."""
    return int(scores([document_id])[0])


def choose(scores: NDArray[np.uint64], pack: Pack, unseen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each document is held out: those below `held_out_share`, and in a small corpus some more.

    A corpus of fewer than twice `min_held_out / held_out_share` documents may by chance have too few; it holds out the
    next ones in the order of scores, up to `min_held_out` and a fifth of all. There a document may change sides when
    others come.

    Args:
        scores: of all documents.
        pack: how many.
        unseen: documents that the base was not trained on; a model cannot be judged by others.
    """
    limit = np.uint64(min(int(pack.held_out_share * 2**64), 2**64 - 1))
    below = unseen & (scores < limit)
    if len(scores) >= 2 * pack.min_held_out / pack.held_out_share:
        return below
    least = min(pack.min_held_out, len(scores) // MOST)
    number = min(max(int(below.sum()), least), int(unseen.sum()), max(len(scores) - 1, 0))
    candidates = np.flatnonzero(unseen)
    chosen = np.zeros(len(scores), np.bool_)
    chosen[candidates[np.argsort(scores[candidates], kind="stable")[:number]]] = True
    return chosen


def trained_before(discover: Path) -> Fingerprints | None:
    """Ids and digests that the base was trained on; None: there is no base, or one that does not say."""
    file = discover / "base" / TRAINED_FILE
    return read_fingerprints(file) if file.is_file() else None
