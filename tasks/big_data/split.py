"""Which documents are held out: decided by a hash of the id alone, so that order, number and place do not matter."""

import hashlib
from collections.abc import Iterable

from tasks.params import Pack
from tasks.report import StepError

# Not the id itself: its first digit is the bucket, and one bucket must not be held out as a whole.
_SALT = "held-out:"
_MOST = 5  # at most one document in so many is held out to reach `min_held_out`


def score(document_id: str) -> float:
    """Number in [0, 1) that only the id decides: a document below the share is held out, now and in every later run."""
    return int.from_bytes(hashlib.sha256(f"{_SALT}{document_id}".encode()).digest()[:8]) / 2**64


def held_out(document_ids: Iterable[str], pack: Pack) -> frozenset[str]:
    """Ids of held-out documents: those below `held_out_share`, and the next ones up to `min_held_out`.

    Raises:
        StepError: there are too few documents to hold one out.
    """
    ranked = sorted((score(document_id), document_id) for document_id in document_ids)
    below = sum(number < pack.held_out_share for number, _ in ranked)
    at_least = min(pack.min_held_out, len(ranked) // _MOST)
    chosen = min(max(below, at_least), len(ranked) - 1)
    if chosen < 1:
        raise StepError(
            f"expected at least {_MOST} documents, so that one can be held out to judge the model by, "
            f"found {len(ranked)}; add sources, cut long files into several, or relax clean.* in params.yaml "
            "if documents were dropped there"
        )
    return frozenset(document_id for _, document_id in ranked[:chosen])
