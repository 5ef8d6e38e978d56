"""Documents and the 13-grams of evaluations -> documents that have one of them, which must not be trained on.

The rule of GPT-3 (https://arxiv.org/abs/2005.14165, appendix C: words in lower case, punctuation left out, one 13-gram
in common), but for two things: the whole document goes, not 200 characters around, as texts here are pages, no books;
and n-grams that many documents have are no exception, as such a text is still in the evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.buffers import text_buffers
from tasks.big_data.documents import EVALUATION_FILE, Shard, parquet_bytes, part, rows_in
from tasks.big_data.engine import Engine
from tasks.big_data.grams import evaluation_hits
from tasks.big_data.memory import Memory, key_of
from tasks.report import StepError, sha256_of

CONTAMINATED_FILE = "contaminated.parquet"
LISTED = pl.Schema({"uri": pl.String(), "file": pl.String(), "ngrams": pl.Int64()})
_HITS, _FOUND = "hits", pl.Schema({"row": pl.Int64(), "uri": pl.String(), "file": pl.String(), "ngrams": pl.Int64()})
_BITS_A_GRAM = 16


@dataclass(frozen=True)
class _Task:
    data: bytes | Path
    known: pl.DataFrame
    grams: NDArray[np.uint64]
    bits: NDArray[np.uint64]


def contaminated(
    discover: Path, source: Path, shards: Sequence[Shard], memory: Memory, where: Engine, folder: Path
) -> pl.DataFrame:
    """Columns shard (its number), row, uri, file and ngrams: what each document shares with each evaluation file.

    Args:
        discover: output of that step.
        source: folder of the table.
        shards: of the table.
        memory: of earlier runs.
        where: engine.
        folder: for files, on the file system of the memory.

    Raises:
        StepError: evaluations were not pinned.
    """
    file = discover / EVALUATION_FILE
    if not file.is_file():
        raise StepError(f"expected the n-grams of evaluations, found no {file}; look at the world: `abcd discover`")
    known = pl.read_parquet(file, glob=False)
    if not known.height:
        return pl.DataFrame(schema={"shard": pl.Int64(), **_FOUND})
    pinned, grams = sha256_of(file), known["gram"].unique().sort().to_numpy()
    keys = [key_of("evaluation", pinned, shard.sha256) for shard in shards]
    missing = [n for n, key in enumerate(keys) if memory.recall(key, folder / str(n)) is None]
    bits = _filter(grams)
    tasks = (_Task(where.carried(source / part(shards[n].name)), known, grams, bits) for n in missing)
    for number, data in zip(missing, where.map(_hits, tasks), strict=True):
        memory.keep(keys[number], {_HITS: data}, {}, folder / str(number))
    found = [
        pl.read_parquet(folder / str(number) / _HITS, glob=False).with_columns(shard=pl.lit(number, pl.Int64))
        for number in range(len(shards))
    ]
    return pl.concat([pl.DataFrame(schema={**_FOUND, "shard": pl.Int64()}), *found])


def _filter(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One bit for each n-gram, at the place that its lower bits say."""
    size = 1 << max((_BITS_A_GRAM * len(grams) - 1).bit_length(), 6)
    bits = np.zeros(size // 64, np.uint64)
    places = grams & np.uint64(size - 1)
    np.bitwise_or.at(bits, (places >> np.uint64(6)).astype(np.int64), np.uint64(1) << (places & np.uint64(63)))
    return bits


def _hits(task: _Task) -> bytes:
    frame = rows_in(task.data, ["uri", "text"])
    hits = evaluation_hits(*text_buffers(frame["text"]), task.bits, task.grams)
    table = pl.DataFrame({"row": hits[:, 0], "gram": task.grams[hits[:, 1]]}).unique()
    counted = table.join(task.known, on="gram").group_by("row", "file").agg(ngrams=pl.len().cast(pl.Int64))
    named = counted.with_columns(uri=frame["uri"].gather(counted["row"]))
    return parquet_bytes(named.select(list(_FOUND)).sort("row", "file"))
