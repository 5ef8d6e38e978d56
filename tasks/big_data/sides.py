"""Which side a document is on, trained on or held out: written by `dedup`, read by all that comes after it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.split import MOST, trained_before
from tasks.report import StepError

TRAIN, HELD_OUT = "train", "held_out"
SIDES_FILE = "sides.parquet"  # of `dedup`


def write_sides(path: Path, shards: Iterable[tuple[pl.Series, NDArray[np.bool_]]]) -> dict[str, int]:
    """Write the side of each document, shard by shard, in their order; how many documents are on each side."""
    kinds = pa.schema([("id", pa.string()), ("side", pa.dictionary(pa.int8(), pa.string()))])
    # Through polars: pyarrow imports pandas to look at what it is given, half a second.
    names = pl.Series([TRAIN, HELD_OUT]).to_arrow().cast(pa.string())
    counts = {TRAIN: 0, HELD_OUT: 0}
    # Ids are hashes: to look for repeats among them and to pack them costs more than all else here.
    options: dict[str, Any] = {"use_dictionary": ["side"], "compression": {"side": "zstd"}, "write_statistics": False}
    with pq.ParquetWriter(path, kinds, **options) as writer:
        for ids, held_out in _groups(shards):
            sides = pa.DictionaryArray.from_arrays(pl.Series(held_out.astype(np.int8)).to_arrow(), names)
            writer.write_table(pa.table([ids.to_arrow().cast(pa.string()), sides], schema=kinds))
            counts[HELD_OUT] += int(held_out.sum())
            counts[TRAIN] += int((~held_out).sum())
    return counts


def _groups(shards: Iterable[tuple[pl.Series, NDArray[np.bool_]]]) -> Iterator[tuple[pl.Series, NDArray[np.bool_]]]:
    """Many shards at a time, as each piece that is written costs a millisecond."""
    ids, held_out = [pl.Series(dtype=pl.String)], [np.zeros(0, np.bool_)]
    for ids_here, held_out_here in shards:
        ids.append(ids_here)
        held_out.append(held_out_here)
        if sum(map(len, held_out)) >= documents.ROW_GROUP:
            yield pl.concat(ids, rechunk=True), np.concatenate(held_out)
            ids, held_out = [pl.Series(dtype=pl.String)], [np.zeros(0, np.bool_)]
    yield pl.concat(ids, rechunk=True), np.concatenate(held_out)


def held_out_ids(settings: Settings, source: Path) -> frozenset[str]:
    """Ids of the documents of a table that no part of the model learns from.

    Raises:
        StepError: `dedup` has not run, or there is no document to judge by.
    """
    ids = documents.read(source, ["id"])["id"]
    kept_back = frozenset(ids.filter(ids.is_in(chosen(settings)["id"].implode())))
    require_held_out(settings, len(kept_back), ids.len())
    return kept_back


def chosen(settings: Settings) -> pl.DataFrame:
    """Ids of all documents that `dedup` put on the side of held-out ones, in a table of one column.

    Raises:
        StepError: `dedup` has not run.
    """
    file = settings.artifacts / "dedup" / SIDES_FILE
    if not file.is_file():
        raise StepError(f"expected sides of documents, found no {file}; decide them first: `dvc repro dedup`")
    rows = pl.scan_parquet(file, glob=False).filter(pl.col("side") == HELD_OUT).select("id")
    return rows.collect(engine="streaming")


def require_held_out(settings: Settings, number: int, documents: int) -> None:
    """See that there is a document to judge by.

    Raises:
        StepError: there is none.
    """
    if number:
        return
    if documents >= MOST and trained_before(settings.artifacts / "discover") is not None:
        raise StepError(
            f"the base was trained on all that could be held out of {documents} documents, so that none is left "
            "to judge the model by; add sources, or set discover.base to null in params.yaml to start from nothing"
        )
    raise StepError(
        f"expected at least {MOST} documents, so that one can be held out to judge the model by, "
        f"found {documents}; add sources, cut long files into several, or relax clean.* and dedup.* in params.yaml "
        "if documents were dropped there"
    )
