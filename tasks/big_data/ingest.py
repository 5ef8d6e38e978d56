"""Source files become documents: exactly the manifest's bytes are read, decoded and parted into rows.

Files are read group by group (`layout.py`); what a group yields is remembered by the digests of its files, so that
unchanged files are never read twice.
"""

import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.batches import meta_json
from tasks.big_data.documents import Facts, Shard, Sifted, Tally, files_of, tally_of, write_index
from tasks.big_data.engine import Engine, engine
from tasks.big_data.layout import Group, groups, name_of
from tasks.big_data.manifest import read_manifest
from tasks.big_data.memory import Memory, key_of
from tasks.big_data.places import Places
from tasks.big_data.readers import NoTextColumnError, Row, read_rows
from tasks.big_data.rows import read_options
from tasks.big_data.sources import Digests, group_of
from tasks.params import STDLIB_URI, Params
from tasks.progress import Progress
from tasks.report import Report, StepError
from tasks.source import Source

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
    step = _Step(params, settings, out)
    made, tally = list[Shard](), Tally()
    progress = settings.runs / "progress" / "ingest.json"
    with engine(settings) as where, Progress("ingest", total=len(files), unit="sources", file=progress) as shown:
        done = 0
        for group, shards, counted in step.read(list(groups(files)), where):
            made += shards
            tally.add(counted)
            done += len(group)
            shown.update(done)
    step.digests.save()
    write_index(out, made)
    if not tally.rows_out:
        first = next(iter(tally.examples.values()), [""])[0]
        raise StepError(
            f"expected text in {len(files)} sources, found none that can be read: {tally.in_words()}; "
            f"the first is {first}; name other sources in params.yaml (discover.sources) or repair these"
        )
    unreadable = dict(list(tally.facts.pop("unreadable", {}).items())[:_UNREADABLE_NAMED])
    return tally.report("ingest", {"sources": len(files), **tally.facts, "unreadable": unreadable})


@dataclass(frozen=True)
class Read:
    """What came of a group: its shards, their files by name, counts."""

    shards: list[Shard]
    files: dict[str, bytes]
    tally: Tally


class _Step:
    """Reads groups, remembered ones from memory."""

    def __init__(self, params: Params, settings: Settings, out: Path) -> None:
        self.digests = Digests(settings)
        self._params, self._out = params, out
        self._places = Places(settings)
        self._memory = Memory(settings.cache / "shards" / "ingest")
        self._order: deque[tuple[Group, tuple[list[Shard], Tally] | None]] = deque()

    def read(self, parted: list[Group], where: Engine) -> Iterator[tuple[Group, list[Shard], Tally]]:
        """What came of each group, in their order."""
        for result in where.map(self._read_group, self._fresh(parted)):
            yield from self._remembered()
            group, _ = self._order.popleft()
            noted = {"shards": [shard._asdict() for shard in result.shards], "tally": result.tally.note()}
            self._memory.keep(self._key(group), result.files, noted, self._out)
            yield group, result.shards, result.tally
        yield from self._remembered()

    def _fresh(self, parted: list[Group]) -> Iterator[Group]:
        for group in parted:
            noted = self._memory.recall(self._key(group), self._out)
            if noted is None:
                self._order.append((group, None))
                yield group
                continue
            for file in group:
                self._check(file)
            shards = [Shard(**entry) for entry in noted["shards"]]
            self._order.append((group, (shards, Tally.of_note(noted["tally"]))))

    def _remembered(self) -> Iterator[tuple[Group, list[Shard], Tally]]:
        while self._order and (known := self._order[0][1]) is not None:
            group, _ = self._order.popleft()
            yield group, *known

    def _key(self, group: Group) -> str:
        said = {file.source: self._params.source(file.source) for file in group}
        return key_of("ingest", said, *((file.uri, file.source, file.sha256) for file in group))

    def _read_group(self, group: Group) -> Read:
        table = Table(name_of(group))
        for file in group:
            table.start(file, self._params.source(file.source))
            for row in self._rows(file):
                table.add(row)
        return table.end()

    def _rows(self, file: SourceFile) -> list[Row]:
        place = self._places.of(file.uri, file.source)
        try:
            data, digest = self.digests.read(place)
        except OSError as error:
            raise StepError(f"{file.uri}: changed since discover: {place}: {error.strerror}; {_CHANGED}") from None
        _require_same(file, digest, len(data))
        source = self._params.source(file.source)
        options = read_options(source.text, metadata=source.metadata, format=source.format)
        try:
            return list(read_rows(io.BytesIO(data), name=file.uri, options=options))
        except NoTextColumnError as error:
            raise StepError(
                f"{file.uri}: expected a column {source.text!r} with the text, found "
                f"{'one that holds no text' if error.exists else 'none'} in any row; "
                f"columns that hold text: {', '.join(error.columns) or 'none'}; "
                "set text of this source or ingest.text_column in params.yaml, or --text-column"
            ) from None

    def _check(self, file: SourceFile) -> None:
        """A remembered file must still be what the manifest says; it is read only if its stamp is new."""
        place = self._places.of(file.uri, file.source)
        try:
            digest, size = self.digests.of(place)
        except OSError as error:
            raise StepError(f"{file.uri}: changed since discover: {place}: {error.strerror}; {_CHANGED}") from None
        _require_same(file, digest, size)


def _require_same(file: SourceFile, digest: str, size: int) -> None:
    if (digest, size) != (file.sha256, file.size):
        raise StepError(
            f"{file.uri}: changed since discover: expected {file.size} bytes with SHA-256 {file.sha256[:12]}…, "
            f"found {size} bytes with {digest[:12]}…; {_CHANGED}"
        )


def licence_of(source: Source) -> str:
    """SPDX identifier: what params say, else what is known of the source."""
    return source.licence if source.licence != "unknown" else _LICENCES.get(source.uri, source.licence)


@dataclass
class Table:
    """Rows of a group as documents, cut into shards by their size."""

    name: str
    _columns: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in documents.COLUMNS})
    _rejected: list[tuple[Any, ...]] = field(default_factory=list)
    _bytes: int = 0
    _facts: Facts = field(default_factory=dict)
    _shards: list[Shard] = field(default_factory=list)
    _files: dict[str, bytes] = field(default_factory=dict)
    _tally: Tally = field(default_factory=Tally)

    def start(self, file: SourceFile, source: Source) -> None:
        """Rows that come now are this file's."""
        self._file, self._group = file, group_of(file.uri, file.source)
        self._licence, self._language = licence_of(source), source.language

    def add(self, row: Row) -> None:
        """Add a row; a full shard is closed."""
        file = self._file
        uri = f"{file.uri}!{row.inner}" if row.inner else file.uri
        uri = uri if row.row is None else f"{uri}#{row.row}"
        counts = self._counts("sources_read", file.source)
        document = documents.Document(
            documents.document_id(uri), uri, file.source, uri if self._group == file.uri else self._group,
            self._licence, self._language, meta_json(row.meta), row.text, documents.digest_of(row.text),
        )  # fmt: skip
        if row.reason is not None:
            self._rejected.append((*document, [row.reason]))
            counts["rejected"] += 1
            if row.row is None:
                self._facts.setdefault("unreadable", {})[uri] = row.reason
            return
        for name, value in zip(documents.COLUMNS, document, strict=True):
            self._columns[name].append(value)
        counts["documents"] += 1
        counts["characters"] += len(row.text)
        encodings = self._facts.setdefault("encodings", {})
        encodings[row.encoding] = encodings.get(row.encoding, 0) + 1
        self._bytes += len(row.text)
        if self._bytes >= documents.SHARD_BYTES:
            self._close()

    def end(self) -> Read:
        """All shards; the last one may be small."""
        if self._columns["id"] or self._rejected or not self._shards:
            self._close()
        return Read(self._shards, self._files, self._tally)

    def _counts(self, *path: str) -> dict[str, int]:
        found: dict[str, Any] = self._facts
        for key in path:
            found = found.setdefault(key, {})
        if not found:
            found.update(documents=0, rejected=0, characters=0)
        return found

    def _close(self) -> None:
        accepted = pl.DataFrame(self._columns, schema=documents.SCHEMA)
        rejected = pl.DataFrame(self._rejected, schema=documents.REJECTED_SCHEMA, orient="row")
        sifted = Sifted(accepted, rejected, self._facts)
        shard, files = files_of(f"{self.name}-{len(self._shards):04}", sifted)
        self._shards.append(shard)
        self._files |= files
        self._tally.add(tally_of(accepted.height + rejected.height, shard.bytes, sifted))
        self._columns = {name: [] for name in documents.COLUMNS}
        self._rejected, self._bytes, self._facts = [], 0, {}
