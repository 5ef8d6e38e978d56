"""Document tables: sixteen Parquet buckets by the first hex digit of the id; the one place that reads and writes them.

A step is a function from bucket to bucket: `sift` walks the buckets, `judge_rows` turns a judge of one document
into accepted and rejected rows, and `Tally` counts both, so that nothing vanishes. Same rows, same bytes.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tasks.report import Report, StepError

BUCKETS = "0123456789abcdef"
COLUMNS = ("id", "uri", "source", "group", "licence", "text", "digest")
SCHEMA = pl.Schema({name: pl.String() for name in COLUMNS})
REJECTED_SCHEMA = pl.Schema({**SCHEMA, "reasons": pl.List(pl.String)})
REJECTED = "rejected"
_ID_DIGITS = 32
_EXAMPLES = 3
# Part of the bytes of every table: a change re-runs what follows.
_PARQUET: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "statistics": True,
    "row_group_size": 65_536,
}


class Document(NamedTuple):
    """One row of a table, in the order of its columns."""

    id: str
    uri: str
    source: str
    group: str
    licence: str
    text: str
    digest: str


class Keep(NamedTuple):
    """The document goes on with this text."""

    text: str


class Drop(NamedTuple):
    """The document is kept back for these reasons."""

    reasons: tuple[str, ...]


Judge = Callable[[Document], Keep | Drop]


class Sifted(NamedTuple):
    """One bucket, parted: rows of `SCHEMA` and rows of `REJECTED_SCHEMA`."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame


@dataclass
class Tally:
    """Counts of a step over all buckets; a reason counts up to its first colon (`duplicate_of:<id>`)."""

    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, rows_in: int, sifted: Sifted) -> None:
        """Count one bucket."""
        self.rows_in += rows_in
        self.rows_out += sifted.accepted.height
        self.rows_rejected += sifted.rejected.height
        for uri, reasons in sifted.rejected.select("uri", "reasons").iter_rows():
            for reason in dict.fromkeys(text.partition(":")[0] for text in reasons):
                self.reasons[reason] += 1
                named = self.examples.setdefault(reason, [])
                if len(named) < _EXAMPLES:
                    named.append(uri)

    def in_words(self) -> str:
        """Reasons with their counts, the most frequent first."""
        ranked = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} {count:,}" for reason, count in ranked)

    def report(self, step: str, facts: Mapping[str, Any]) -> Report:
        """Report of a step that passed documents on, with the uris of a few rejected ones."""
        reasons = f"; {self.rows_rejected:,} rejected: {self.in_words()}" if self.rows_rejected else ""
        return Report(
            step=step,
            summary=f"{self.rows_out:,} of {self.rows_in:,} documents{reasons}",
            rows_in=self.rows_in,
            rows_out=self.rows_out,
            rows_rejected=self.rows_rejected,
            reasons=dict(sorted(self.reasons.items())),
            facts={**facts, "rejected_examples": self.examples},
        )


def document_id(uri: str) -> str:
    """Id of the document at `uri`: half a SHA-256, 32 hex digits; a uri never changes its id."""
    return hashlib.sha256(uri.encode()).hexdigest()[:_ID_DIGITS]


def digest_of(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def part(bucket: str) -> str:
    """File name of a bucket."""
    return f"part-{bucket}.parquet"


def read_bucket(folder: Path, bucket: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of one bucket, sorted by id.

    Raises:
        StepError: the bucket is not there.
    """
    path = folder / part(bucket)
    if not path.is_file():
        raise StepError(
            f"expected a document table in {folder}, found no {path.name}; "
            f"run what makes it first: `dvc repro {folder.name}`"
        )
    return pl.read_parquet(path, columns=list(columns) if columns else None, glob=False)


def read(folder: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of all buckets, which is the order of ids.

    Raises:
        StepError: a bucket is not there.
    """
    return pl.concat(read_bucket(folder, bucket, columns) for bucket in BUCKETS)


def read_rejected(folder: Path) -> pl.DataFrame:
    """Rejected rows of a step, none if it rejected none."""
    paths = [path for bucket in BUCKETS if (path := folder / REJECTED / part(bucket)).is_file()]
    return pl.concat([REJECTED_SCHEMA.to_frame(), *(pl.read_parquet(path, glob=False) for path in paths)])


def write_bucket(out: Path, bucket: str, sifted: Sifted) -> None:
    """Write one bucket: accepted rows always, rejected rows where there are some."""
    write_table(out / part(bucket), sifted.accepted.select(COLUMNS).sort("id", "uri"))
    if sifted.rejected.height:
        rejected = sifted.rejected.select(list(REJECTED_SCHEMA)).sort("id", "uri")
        write_table(out / REJECTED / part(bucket), rejected)


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a Parquet file that is the same bytes for the same rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(parquet_bytes(frame))


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """Bytes of a Parquet file; polars writing to a full disk itself does not say that it is full."""
    file = io.BytesIO()
    frame.rechunk().write_parquet(file, **_PARQUET)
    return file.getvalue()


def write_all(out: Path, accepted: pl.DataFrame, rejected: pl.DataFrame) -> Tally:
    """Part whole tables into buckets and write them."""
    tally = Tally()
    for bucket in BUCKETS:
        mine = pl.col("id").str.starts_with(bucket)
        sifted = Sifted(accepted.filter(mine), rejected.filter(mine))
        write_bucket(out, bucket, sifted)
        tally.add(sifted.accepted.height + sifted.rejected.height, sifted)
    return tally


def sift(source: Path, out: Path, part_bucket: Callable[[pl.DataFrame], Sifted]) -> Tally:
    """Pass each bucket of `source` through `part_bucket` and write what it says to `out`.

    Raises:
        StepError: a bucket of `source` is not there.
    """
    tally = Tally()
    for bucket in BUCKETS:
        frame = read_bucket(source, bucket)
        sifted = part_bucket(frame)
        write_bucket(out, bucket, sifted)
        tally.add(frame.height, sifted)
    return tally


def judge_rows(frame: pl.DataFrame, judge: Judge) -> Sifted:
    """Part a bucket by a judge of one document; a kept text gets its new digest, a dropped one stays as it came."""
    kept: list[tuple[str, ...]] = []
    dropped: list[tuple[Any, ...]] = []
    for row in frame.iter_rows():
        document = Document(*row)
        verdict = judge(document)
        if isinstance(verdict, Drop):
            dropped.append((*document, list(verdict.reasons)))
        elif verdict.text == document.text:
            kept.append(document)
        else:
            kept.append(document._replace(text=verdict.text, digest=digest_of(verdict.text)))
    return Sifted(
        pl.DataFrame(kept, schema=SCHEMA, orient="row"), pl.DataFrame(dropped, schema=REJECTED_SCHEMA, orient="row")
    )
