"""Files with evaluations -> their 13-grams of words, pinned when the world is looked at: what must not be trained on.

Each text of a row counts by itself, whatever its column; a text of fewer words has no 13-gram and cannot be found.
"""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from infra.settings import Settings
from tasks.big_data.buffers import text_buffers
from tasks.big_data.documents import EVALUATION_FILE, EVALUATION_SCHEMA, write_table
from tasks.big_data.formats import named
from tasks.big_data.grams import EVALUATION_WORDS, distinct_grams
from tasks.big_data.look import look
from tasks.big_data.places import Places
from tasks.big_data.sources import Digests
from tasks.report import StepError
from tasks.source import Source

_FORMATS = ("jsonl", "parquet", "text", "markdown")


def pin(files: tuple[str, ...], settings: Settings, digests: Digests, out: Path) -> dict[str, Any]:
    """Write the n-grams of all files to `out`; what each file is: its digest, its texts, how many are too short.

    Raises:
        StepError: a file is missing or of no use.
    """
    found = look(tuple(Source(uri=uri) for uri in files), settings, digests, out)
    places, tables, facts = Places(settings), [pl.DataFrame(schema=EVALUATION_SCHEMA)], {}
    for file in sorted(found.files.values(), key=lambda file: file.uri):
        texts = pl.Series(list(_texts(file.uri, places.of(file.uri, file.source).read())), dtype=pl.String)
        grams, ends = distinct_grams(*text_buffers(texts), np.arange(len(texts)), EVALUATION_WORDS)
        different = np.unique(grams)
        if not len(different):
            raise StepError(
                f"dedup.evaluation_files: expected texts of {EVALUATION_WORDS} words or more in {file.uri}, found none"
            )
        tables.append(pl.DataFrame({"gram": different}).with_columns(file=pl.lit(file.uri)))
        too_short = int((np.diff(ends) == 0).sum())
        facts[file.uri] = {
            "sha256": file.sha256, "texts": len(texts), "too_short": too_short, "ngrams": len(different)
        }  # fmt: skip
    write_table(out / EVALUATION_FILE, pl.concat(tables).sort("gram", "file"))
    return facts


def _texts(uri: str, data: bytes) -> Iterator[str]:
    """Every text of a file: of all columns and whatever they hold."""
    kind = named(uri)
    if kind is None or kind.format not in _FORMATS:
        raise StepError(f"dedup.evaluation_files: {uri}: expected one of {', '.join(_FORMATS)}, found another format")
    try:
        data = _decompressed(data, kind.compression)
        if kind.format == "jsonl":
            for line in data.splitlines():
                yield from _strings(json.loads(line) if line.strip() else None)
        elif kind.format == "parquet":
            for row in pl.read_parquet(io.BytesIO(data)).iter_rows():
                yield from _strings(row)
        else:
            yield data.decode()
    except (ValueError, EOFError, OSError, pl.exceptions.PolarsError) as error:
        raise StepError(f"dedup.evaluation_files: {uri} cannot be read: {error}; repair it or leave it out") from error


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _decompressed(data: bytes, compression: str) -> bytes:
    if compression == ".gz":
        return gzip.decompress(data)
    if not compression:
        return data
    import zstandard  # of an extra, for files that need it

    return zstandard.ZstdDecompressor().stream_reader(data).read()
