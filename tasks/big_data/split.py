"""Which documents are held out: decided by a hash of the id alone, so that order, number and place do not matter."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from tasks.fingerprints import Fingerprints, fingerprints, read_fingerprints
from tasks.params import Pack
from tasks.report import StepError

# Not the id itself: its first digit is the bucket, and one bucket must not be held out as a whole.
_SALT = "held-out:"
TRAINED_FILE = "trained.npy"  # of the base
_MOST = 5  # at most one document in so many is held out to reach `min_held_out`


def score(document_id: str) -> float:
    """Number in [0, 1) that only the id decides: a document below the share is held out, now and in every later run."""
    return int.from_bytes(hashlib.sha256(f"{_SALT}{document_id}".encode()).digest()[:8]) / 2**64


def held_out(documents: pl.DataFrame, pack: Pack, trained: Fingerprints | None = None) -> frozenset[str]:
    """Ids of held-out documents: those below `held_out_share`, and the next ones up to `min_held_out`.

    Args:
        documents: columns id and digest.
        pack: how many.
        trained: ids and digests that the base was trained on; a model cannot be judged by those.

    Raises:
        StepError: there are too few documents to hold one out.
    """
    ids = documents["id"]
    ranked = sorted((score(document_id), document_id) for document_id in ids.filter(_unseen(documents, trained)))
    below = sum(number < pack.held_out_share for number, _ in ranked)
    at_least = min(pack.min_held_out, len(ids) // _MOST)
    chosen = min(max(below, at_least), len(ranked), len(ids) - 1)
    if ids.len() and not ranked:
        raise StepError(
            f"the base was trained on all {len(ids)} documents, so that none can be held out to judge the model by; "
            "add sources, or set discover.base to null in params.yaml to start from nothing"
        )
    if chosen < 1:
        raise StepError(
            f"expected at least {_MOST} documents, so that one can be held out to judge the model by, "
            f"found {len(ids)}; add sources, cut long files into several, or relax clean.* in params.yaml "
            "if documents were dropped there"
        )
    return frozenset(document_id for _, document_id in ranked[:chosen])


def trained_before(discover: Path) -> Fingerprints | None:
    """Ids and digests that the base was trained on; None: there is no base, or one that does not say."""
    file = discover / "base" / TRAINED_FILE
    return read_fingerprints(file) if file.is_file() else None


def _unseen(documents: pl.DataFrame, trained: Fingerprints | None) -> pl.Series:
    """Whether the base was trained on neither a document's name nor its text."""
    if trained is None:
        return pl.Series([True] * documents.height, dtype=pl.Boolean)
    seen = [np.isin(fingerprints(documents[column]), trained) for column in ("id", "digest")]
    return pl.Series(~(seen[0] | seen[1]))
