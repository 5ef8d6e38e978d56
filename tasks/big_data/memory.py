"""What ingest remembers: rows by the digest of all that they were made from; it saves reading, it changes nothing."""

import hashlib
import io
import json
from itertools import groupby
from pathlib import Path

import polars as pl

from tasks.big_data.batches import meta_json
from tasks.big_data.documents import parquet_bytes
from tasks.big_data.formats import FORMATS, TEXT_FORMATS
from tasks.big_data.readers import Row, reader_version
from tasks.sealed import read_sealed, write_sealed

ROWS_SUFFIX = ".rows"
_SCHEMA = pl.Schema(
    {"key": pl.String(), "row": pl.Int64(), "text": pl.String(), "encoding": pl.String(), "reason": pl.String(),
     "inner": pl.String(), "meta": pl.String()}
)  # fmt: skip


class Memory:
    """Rows by key; each run adds one file with what it read for the first time."""

    def __init__(self, folder: Path, keys: set[str]) -> None:
        """Load what is remembered under `keys`; a file that was damaged is removed and said."""
        self._folder = folder
        self._known: dict[str, list[Row]] = {}
        self._fresh: dict[str, list[Row]] = {}
        for path in sorted(folder.glob(f"*{ROWS_SUFFIX}")):
            data = read_sealed(path)
            if data is not None:
                self._load(pl.read_parquet(io.BytesIO(data), schema=_SCHEMA), keys)

    @staticmethod
    def key(sha256: str, suffix: str, compression: str, text_column: str) -> str:
        """Name of all that a source's rows depend on."""
        column = text_column if FORMATS.get(suffix) not in TEXT_FORMATS else ""
        return hashlib.sha256("\0".join((sha256, suffix, compression, column, reader_version())).encode()).hexdigest()

    def rows(self, key: str) -> list[Row] | None:
        """Rows that are remembered, None if there are none."""
        return self._known.get(key) or self._fresh.get(key)

    def keep(self, key: str, rows: list[Row]) -> None:
        """Remember rows."""
        self._fresh[key] = rows

    def save(self) -> None:
        """Write what is new, under a name that says what it holds."""
        if not self._fresh:
            return
        name = hashlib.sha256("".join(sorted(self._fresh)).encode()).hexdigest()[:32]
        rows = [(key, *row[:5], meta_json(row.meta)) for key in sorted(self._fresh) for row in self._fresh[key]]
        table = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
        write_sealed(self._folder / f"{name}{ROWS_SUFFIX}", parquet_bytes(table))

    def _load(self, frame: pl.DataFrame, keys: set[str]) -> None:
        wanted = frame.filter(pl.col("key").is_in(list(keys)))
        for key, rows in groupby(wanted.iter_rows(), key=lambda row: row[0]):
            self._known[key] = [Row(*row[1:6])._replace(meta=json.loads(row[6]) if row[6] else None) for row in rows]
