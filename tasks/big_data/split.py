"""Which documents are held out: decided by a hash of the id alone, so that order, number and place do not matter."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.fingerprints import Fingerprints, read_fingerprints
from tasks.params import Pack
from tasks.report import StepError

TRAIN, HELD_OUT = "train", "held_out"
SIDES_FILE = "sides.parquet"  # of `dedup`
# Not the id itself, whose digits serve other ends.
_SALT = "held-out:"
TRAINED_FILE = "trained.npy"  # of the base
_MOST = 5  # at most one document in so many is held out to reach `min_held_out`


def score(document_id: str) -> int:
    """64 bits that only the id decides: a document below the share is held out, now and in every later run."""
    return int.from_bytes(hashlib.sha256(f"{_SALT}{document_id}".encode()).digest()[:8])


def choose(scores: NDArray[np.uint64], pack: Pack, unseen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each document is held out: those below `held_out_share`, and in a small corpus some more.

    A corpus of fewer than `min_held_out / held_out_share` documents holds out the next ones in the order of scores, up
    to `min_held_out` and a fifth of all; there a document may change sides when others come.

    Args:
        scores: of all documents.
        pack: how many.
        unseen: documents that the base was not trained on; a model cannot be judged by others.
    """
    limit = np.uint64(min(int(pack.held_out_share * 2**64), 2**64 - 1))
    below = unseen & (scores < limit)
    if len(scores) >= pack.min_held_out / pack.held_out_share:
        return below
    least = min(pack.min_held_out, len(scores) // _MOST)
    number = min(max(int(below.sum()), least), int(unseen.sum()), max(len(scores) - 1, 0))
    candidates = np.flatnonzero(unseen)
    chosen = np.zeros(len(scores), np.bool_)
    chosen[candidates[np.argsort(scores[candidates], kind="stable")[:number]]] = True
    return chosen


def trained_before(discover: Path) -> Fingerprints | None:
    """Ids and digests that the base was trained on; None: there is no base, or one that does not say."""
    file = discover / "base" / TRAINED_FILE
    return read_fingerprints(file) if file.is_file() else None


def write_sides(path: Path, shards: Iterable[tuple[pl.Series, NDArray[np.bool_]]]) -> dict[str, int]:
    """Write the side of each document, shard by shard, in their order; how many documents are on each side."""
    kinds = pa.schema([("id", pa.string()), ("side", pa.dictionary(pa.int8(), pa.string()))])
    counts = {TRAIN: 0, HELD_OUT: 0}
    with pq.ParquetWriter(path, kinds, compression="zstd") as writer:
        for ids, held_out in shards:
            sides = pa.DictionaryArray.from_arrays(pa.array(held_out.astype(np.int8)), pa.array([TRAIN, HELD_OUT]))
            writer.write_table(pa.table([ids.to_arrow().cast(pa.string()), sides], schema=kinds))
            counts[HELD_OUT] += int(held_out.sum())
            counts[TRAIN] += int((~held_out).sum())
    return counts


def held_out(artifacts: Path, ids: pl.Series) -> frozenset[str]:
    """Those of some documents that `dedup` put on the side of held-out ones.

    Args:
        artifacts: of the workspace.
        ids: of the documents that training and judging may use.

    Raises:
        StepError: `dedup` has not run, or there is no document to judge by.
    """
    file = artifacts / "dedup" / SIDES_FILE
    if not file.is_file():
        raise StepError(f"expected sides of documents, found no {file}; decide them first: `dvc repro dedup`")
    chosen = pl.read_parquet(file, columns=["id", "side"]).filter(pl.col("side") == HELD_OUT)["id"]
    kept_back = frozenset(ids.filter(ids.is_in(chosen.implode())))
    if kept_back:
        return kept_back
    if ids.len() >= _MOST and trained_before(artifacts / "discover") is not None:
        raise StepError(
            f"the base was trained on all that could be held out of {len(ids)} documents, so that none is left "
            "to judge the model by; add sources, or set discover.base to null in params.yaml to start from nothing"
        )
    raise StepError(
        f"expected at least {_MOST} documents, so that one can be held out to judge the model by, "
        f"found {len(ids)}; add sources, cut long files into several, or relax clean.* and dedup.* in params.yaml "
        "if documents were dropped there"
    )
