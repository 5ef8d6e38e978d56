"""A group of source files, or a part of a large one, becomes shards of documents: the work of `ingest`, anywhere."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import polars as pl

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.answers import names
from tasks.big_data.documents import Content, Facts, Shard, Sifted, Tally, files_of, tally_of
from tasks.big_data.layout import Group, name_of
from tasks.big_data.lines import Span
from tasks.big_data.places import Place, Places
from tasks.big_data.readers import Columns, NoTextColumnError, read_batches
from tasks.big_data.rows import ReadOptions, read_options
from tasks.big_data.sources import group_of
from tasks.report import StepError
from tasks.source import STDLIB_URI, Source

CHANGED = "look again with `abcd discover`, or restore what was read then with `dvc pull`"
# SPDX identifiers of sources that we know; what params.yaml says comes first.
_LICENCES = {STDLIB_URI: "PSF-2.0"}


class Item(NamedTuple):
    """What is read at once: files, or (`span`) the part with this number of a single one."""

    group: Group
    span: Span | None
    number: int
    sources: Mapping[str, Source]
    settings: Settings


class Made(NamedTuple):
    """A shard, its files by name, counts."""

    shard: Shard
    files: dict[str, Content]
    tally: Tally


@dataclass(frozen=True)
class Read:
    """What came of an item: its shards, and which columns a part of a file had."""

    made: list[Made]
    columns: Columns


def read_item(item: Item) -> Read:
    """Read what an item names.

    Raises:
        StepError: a file is gone or is not what the manifest says, or none of its rows has the text column.
    """
    columns = Columns()
    return Read(list(shards_of(item, columns)), columns)


def shards_of(item: Item, columns: Columns) -> Iterator[Made]:
    """Shards of an item, one after the other, so that a large file needs no more memory than a small one.

    Raises:
        StepError: as `read_item`.
    """
    table = _Table(name_of(item.group) + (f"-{item.number:05}" if item.span else ""))
    for file in item.group:
        source = item.sources[file.source]
        for frame in _documents(file, source, item, columns):
            yield from table.add(frame)
    yield from table.end()


def refuse_without_text(file: SourceFile, source: Source, error: NoTextColumnError) -> StepError:
    """What to say of a file none of whose rows has the text column."""
    return StepError(
        f"{file.uri}: expected a column {source.text!r} with the text, found "
        f"{'one that holds no text' if error.exists else 'none'} in any row; "
        f"columns that hold text: {', '.join(error.columns) or 'none'}; "
        "set text of this source or ingest.text_column in params.yaml, or --text-column"
    )


def options_of(source: Source) -> ReadOptions:
    """How a source's files are read."""
    return read_options(source.text, metadata=source.metadata, format=source.format)


def read_as(source: Source) -> tuple[str | tuple[str, ...], ...]:
    """What a source's documents depend on of all that is said of it; weight and kind are for later steps."""
    called = (source.key, source.watermark) if source.key else ()
    return source.text, source.metadata, source.format, licence_of(source), source.language, called


def licence_of(source: Source) -> str:
    """SPDX identifier: what params say, else what is known of the source."""
    return source.licence if source.licence != "unknown" else _LICENCES.get(source.uri, source.licence)


def require_same(file: SourceFile, digest: str, size: int) -> None:
    """Check that a file is what the manifest says.

    Raises:
        StepError: it is not.
    """
    if (digest, size) != (file.sha256, file.size):
        raise StepError(
            f"{file.uri}: changed since discover: expected {file.size} bytes with SHA-256 {file.sha256[:12]}…, "
            f"found {size} bytes with {digest[:12]}…; {CHANGED}"
        )


def gone(file: SourceFile, place: Place, error: OSError) -> StepError:
    """What to say of a file that cannot be opened any more."""
    return StepError(f"{file.uri}: changed since discover: {place}: {error.strerror}; {CHANGED}")


def _documents(file: SourceFile, source: Source, item: Item, columns: Columns) -> Iterator[pl.DataFrame]:
    """Rows of a file, whose bytes are those of the manifest, as rows of a table, those that are none with `reason`."""
    place = Places(item.settings).one(file.uri, file.source)
    try:
        with _content(file, place, checked=item.span is not None) as content:
            parts = columns if item.span else None
            called = names(content, source) if source.key else None
            options = options_of(source)
            for batch in read_batches(content, name=file.uri, options=options, span=item.span, columns=parts):
                yield _frame(batch, file, source, _uris(batch, file) if called is None else called[batch["row"] - 1])
    except OSError as error:
        raise gone(file, place, error) from None
    except NoTextColumnError as error:
        raise refuse_without_text(file, source, error) from None


@contextmanager
def _content(file: SourceFile, place: Place, *, checked: bool) -> Iterator[BinaryIO]:
    """The bytes of a file: a small one in memory, a large one on a disk, where it is fetched if need be.

    What is read in parts was looked at as a whole before (`checked`).
    """
    if file.size <= documents.SHARD_BYTES and not checked:
        data = place.read()
        require_same(file, hashlib.sha256(data).hexdigest(), len(data))
        yield io.BytesIO(data)
        return
    with place.open() as content:
        if not checked:
            digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
            require_same(file, digest, content.tell())
            content.seek(0)
        yield content


def _uris(batch: pl.DataFrame, file: SourceFile) -> pl.Series:
    """Names of rows by their places in the file."""
    inner = pl.when(pl.col("inner") == "").then(pl.lit("")).otherwise(pl.lit("!") + pl.col("inner"))
    row = pl.when(pl.col("row").is_null()).then(pl.lit("")).otherwise(pl.lit("#") + pl.col("row").cast(pl.String))
    return batch.select(uri=pl.lit(file.uri) + inner + row)["uri"]


def _frame(batch: pl.DataFrame, file: SourceFile, source: Source, uris: pl.Series) -> pl.DataFrame:
    group = group_of(file.uri, file.source)
    return pl.DataFrame(
        {
            "id": documents.ids_of(uris),
            "uri": uris,
            "text": batch["text"],
            "meta": batch["meta"],
            "encoding": batch["encoding"],
            "reason": batch["reason"],
            "digest": documents.digests_of(batch["text"]),
        }
    ).with_columns(
        source=pl.lit(file.source),
        group=pl.col("uri") if group == file.uri else pl.lit(group),
        licence=pl.lit(licence_of(source)),
        language=pl.lit(source.language),
        is_whole=batch["row"].is_null(),
    )


class _Table:
    """Documents of an item, cut into shards by their size."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: list[pl.DataFrame] = []
        self._bytes = 0
        self._closed = 0

    def add(self, frame: pl.DataFrame) -> Iterator[Made]:
        """Add rows; shards that are full, cut where they are full whatever the size of the frames."""
        self._waiting.append(frame)
        self._bytes += documents.text_bytes(frame)
        while self._bytes >= documents.SHARD_BYTES:
            joined = pl.concat(self._waiting)
            ends = joined["text"].str.len_bytes().cum_sum()
            rows = int(ends.search_sorted(documents.SHARD_BYTES, side="left")) + 1
            yield self._close(joined.head(rows))
            self._waiting = [joined.tail(joined.height - rows)]
            self._bytes = documents.text_bytes(self._waiting[0])

    def end(self) -> Iterator[Made]:
        """The last shard, which may be small."""
        rest = pl.concat(self._waiting) if self._waiting else None
        if rest is not None and (rest.height or not self._closed):
            yield self._close(rest)

    def _close(self, frame: pl.DataFrame) -> Made:
        is_out = frame["reason"].is_not_null()
        rejected = frame.filter(is_out).with_columns(reasons=pl.concat_list("reason"))
        accepted = frame.filter(~is_out)
        sifted = Sifted(accepted, rejected.select(list(documents.REJECTED_SCHEMA)), _facts(accepted, rejected))
        shard, files = files_of(f"{self._name}-{self._closed:04}", sifted)
        self._closed += 1
        return Made(shard, files, tally_of(frame.height, shard.bytes, sifted))


def _facts(accepted: pl.DataFrame, rejected: pl.DataFrame) -> Facts:
    """Counts a source and an encoding; files that could not be read."""
    read: dict[str, Counter[str]] = {}
    sizes = accepted.group_by("source").agg(pl.len(), pl.col("text").str.len_chars().sum())
    for source, count, characters in sizes.iter_rows():
        read.setdefault(source, Counter()).update(documents=count, characters=int(characters))
    for source, count in rejected.group_by("source").len().iter_rows():
        read.setdefault(source, Counter())["rejected"] += count
    names = ("documents", "rejected", "characters")
    return {
        "sources_read": {source: {name: counts[name] for name in names} for source, counts in sorted(read.items())},
        "encodings": dict(accepted.group_by("encoding").len().sort("encoding").iter_rows()),
        "unreadable": dict(rejected.filter("is_whole").select("uri", "reason").iter_rows()),
    }
