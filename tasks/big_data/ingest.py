"""Source files become documents: exactly the manifest's bytes are read, decoded and parted into rows.

What a file yields is remembered by the digest of its bytes, so that unchanged files are never read twice; the
memory (`settings.cache / "ingest"`) never changes an output.
"""

import io
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.manifest import read_manifest
from tasks.big_data.memory import Memory
from tasks.big_data.places import S3, SIDE_BY_SIDE, Places
from tasks.big_data.readers import NoTextColumnError, ReadOptions, Row, read_rows
from tasks.big_data.sources import Digests, group_of, kind_of
from tasks.params import STDLIB_URI, Ingest, Params
from tasks.progress import Progress
from tasks.report import Report, StepError

_CHANGED = "look again with `abcd discover`, or restore what was read then with `dvc pull`"
# SPDX identifiers of sources that we know; what params.yaml says comes first.
_LICENCES = {STDLIB_URI: "PSF-2.0"}
_UNREADABLE_NAMED = 20


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the document table and the rows that are none, with reasons.

    Raises:
        StepError: a source is gone or changed, none of its rows has the text column, or nothing could be read.
    """
    files = read_manifest(settings.artifacts / "discover")
    digests, table, places = Digests(settings), Table(params.ingest), Places(settings)
    memory = Memory(settings.cache / "ingest", memory_keys(files, params.ingest))
    progress = settings.runs / "progress" / "ingest.json"
    with (
        Progress("ingest", total=len(files), unit="sources", file=progress) as shown,
        ThreadPoolExecutor(_readers(files)) as pool,
    ):
        read = pool.map(lambda file: _rows_of(file, params.ingest, places, digests, memory), files)
        for file, rows in zip(shown.over(files), read, strict=True):
            table.add(file, rows)
    digests.save()
    memory.save()
    tally = documents.write_all(out, table.accepted(), table.rejected())
    if not tally.rows_out:
        first = next(iter(tally.examples.values()), [""])[0]
        raise StepError(
            f"expected text in {len(files)} sources, found none that can be read: {tally.in_words()}; "
            f"the first is {first}; name other sources in params.yaml (discover.sources) or repair these"
        )
    return tally.report("ingest", {"sources": len(files), **table.facts()})


def _readers(files: Iterable[SourceFile]) -> int:
    """How many sources are read side by side: parsing is Python's, so only waiting for a bucket is worth it."""
    return SIDE_BY_SIDE if any(file.source.startswith(S3) for file in files) else 1


def _rows_of(file: SourceFile, ingest: Ingest, places: Places, digests: Digests, memory: Memory) -> list[Row]:
    """Rows of one source, from memory where its bytes were read before."""
    key, place = _key(file, ingest), places.of(file.uri, file.source)
    known = memory.rows(key)
    try:
        if known is not None:
            _check(file, *digests.of(place))
            return known
        data, digest = digests.read(place)
    except OSError as error:
        raise StepError(f"{file.uri}: changed since discover: {place}: {error.strerror}; {_CHANGED}") from None
    _check(file, digest, len(data))
    options = ReadOptions(text_columns=(ingest.text_column,))
    try:
        rows = list(read_rows(io.BytesIO(data), name=file.uri, options=options))
    except NoTextColumnError as error:
        raise StepError(
            f"{file.uri}: expected a column {ingest.text_column!r} with the text, found "
            f"{'one that holds no text' if error.exists else 'none'} in any row; "
            f"columns that hold text: {', '.join(error.columns) or 'none'}; "
            "set ingest.text_column in params.yaml, or --text-column"
        ) from None
    memory.keep(key, rows)
    return rows


def memory_keys(files: Iterable[SourceFile], ingest: Ingest) -> set[str]:
    """Names under which the rows of these sources are remembered."""
    return {_key(file, ingest) for file in files}


def _key(file: SourceFile, ingest: Ingest) -> str:
    return Memory.key(file.sha256, *_kind(file), ingest.text_column)


def _kind(file: SourceFile) -> tuple[str, str]:
    return kind_of(file.uri) or ("", "")


def _check(file: SourceFile, digest: str, size: int) -> None:
    if (digest, size) != (file.sha256, file.size):
        raise StepError(
            f"{file.uri}: changed since discover: expected {file.size} bytes with SHA-256 {file.sha256[:12]}…, "
            f"found {size} bytes with {digest[:12]}…; {_CHANGED}"
        )


class Table:
    """Rows of all sources as documents."""

    def __init__(self, ingest: Ingest) -> None:
        self._licence = ingest.licence
        self._accepted: list[documents.Document] = []
        self._rejected: list[tuple[Any, ...]] = []
        self._sources: dict[str, Counter[str]] = {}
        self._encodings: Counter[str] = Counter()
        self._unreadable: dict[str, str] = {}

    def add(self, file: SourceFile, rows: Iterable[Row]) -> None:
        """Add one source's rows."""
        counts = self._sources.setdefault(file.source, Counter(documents=0, rejected=0, characters=0))
        licence = self._licence if self._licence != "unknown" else _LICENCES.get(file.source, self._licence)
        group = group_of(file.uri, file.source)
        for row in rows:
            uri = f"{file.uri}!{row.inner}" if row.inner else file.uri
            uri = uri if row.row is None else f"{uri}#{row.row}"
            document = documents.Document(
                documents.document_id(uri), uri, file.source, uri if group == file.uri else group, licence,
                row.text, documents.digest_of(row.text),
            )  # fmt: skip
            if row.reason is None:
                self._accepted.append(document)
                self._encodings[row.encoding] += 1
                counts.update(documents=1, characters=len(row.text))
                continue
            self._rejected.append((*document, [row.reason]))
            counts["rejected"] += 1
            if row.row is None and len(self._unreadable) < _UNREADABLE_NAMED:
                self._unreadable[uri] = row.reason

    def accepted(self) -> pl.DataFrame:
        """Documents."""
        return pl.DataFrame(self._accepted, schema=documents.SCHEMA, orient="row")

    def rejected(self) -> pl.DataFrame:
        """Rows and files that are no documents, with reasons."""
        return pl.DataFrame(self._rejected, schema=documents.REJECTED_SCHEMA, orient="row")

    def facts(self) -> dict[str, Any]:
        """Counts a source and an encoding; the first sources that could not be read."""
        return {
            "sources_read": {source: dict(counts) for source, counts in self._sources.items()},
            "encodings": dict(sorted(self._encodings.items())),
            "unreadable": self._unreadable,
        }
