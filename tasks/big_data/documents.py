"""Document tables: a folder of shards, Parquet files of about 16 MiB of text; the one place that reads and writes them.

`shards.json` lists the shards in the order of the sources, each with the digest of its rows. A shard's name is made by
`ingest` from the first source file in it, and every later step keeps names: what a new file changes are its own shards.
Same rows, same bytes.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from tasks.big_data.buffers import text_buffers
from tasks.report import Report, StepError

COLUMNS = ("id", "uri", "source", "group", "licence", "language", "meta", "text", "digest")
SCHEMA = pl.Schema({name: pl.String() for name in COLUMNS})
REJECTED_SCHEMA = pl.Schema({**SCHEMA, "reasons": pl.List(pl.String)})
INDEX, REJECTED = "shards.json", "rejected"
BY_SOURCE = "by_source"  # fact of every step: what it passed on and rejected of each source
SHARD_BYTES = 16 << 20
EVALUATION_FILE = "evaluation.parquet"  # n-grams of evaluations, which `discover` pins for `dedup`
EVALUATION_SCHEMA = pl.Schema({"gram": pl.UInt64(), "file": pl.String()})
_ID_DIGITS = 32
_EXAMPLES = 3
ROW_GROUP = 65_536
# Texts are not packed: zstd halves prose, and takes twice as long as all else that is done to a table (CPU seconds for
# 100 MB of text: 0.43 packed, 0.15 so). Nor are hashes, which do not get smaller. DVC keeps an unchanged shard once.
_PACKED = ("uri", "source", "group", "licence", "language", "meta", "reasons.list.element")
_REPEATING = ("source", "licence", "language", "split", "epoch")

Facts = dict[str, Any]
Content = Any  # of a file: bytes, or a buffer of Arrow


class Shard(NamedTuple):
    """One file of a table: its accepted rows, their UTF-8 bytes of text, the digest of the rows, rows rejected."""

    name: str
    rows: int
    bytes: int
    sha256: str
    rejected: int


class Sifted(NamedTuple):
    """One shard, parted: rows of `SCHEMA`, rows of `REJECTED_SCHEMA`, and counts that are added up over shards."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    facts: Facts = {}  # noqa: RUF012 - never written to


@dataclass
class Tally:
    """Counts of a step over all shards; a reason counts up to its first colon (`duplicate_of:<id>`)."""

    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add what another part counted."""
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.rows_rejected += other.rows_rejected
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.reasons.update(other.reasons)
        for reason, uris in other.examples.items():
            named = self.examples.setdefault(reason, [])
            named += uris[: _EXAMPLES - len(named)]
        self.facts = add_facts(self.facts, other.facts)

    def note(self) -> Facts:
        """As JSON has it."""
        return {**{item.name: getattr(self, item.name) for item in fields(self)}, "reasons": dict(self.reasons)}

    @classmethod
    def of_note(cls, noted: Mapping[str, Any]) -> Self:
        """From JSON."""
        return cls(**{**noted, "reasons": Counter(noted["reasons"])})

    def in_words(self) -> str:
        """Reasons with their counts, the most frequent first."""
        ranked = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} {count:,}" for reason, count in ranked)

    def report(self, step: str, facts: Mapping[str, Any]) -> Report:
        """Report of a step that passed documents on, with the uris of a few rejected ones."""
        reasons = f"; {self.rows_rejected:,} rejected: {self.in_words()}" if self.rows_rejected else ""
        counted = {"bytes_in": self.bytes_in, "bytes_out": self.bytes_out, **facts}
        return Report(
            step=step,
            summary=f"{self.rows_out:,} of {self.rows_in:,} documents{reasons}",
            rows_in=self.rows_in,
            rows_out=self.rows_out,
            rows_rejected=self.rows_rejected,
            reasons=dict(sorted(self.reasons.items())),
            facts={**counted, "rejected_examples": self.examples},
        )


def tally_of(rows_in: int, bytes_in: int, sifted: Sifted) -> Tally:
    """Counts of one shard."""
    reasons: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for uri, given in sifted.rejected.select("uri", "reasons").iter_rows():
        for reason in dict.fromkeys(text.partition(":")[0] for text in given):
            reasons[reason] += 1
            named = examples.setdefault(reason, [])
            if len(named) < _EXAMPLES:
                named.append(uri)
    height, size = sifted.accepted.height, text_bytes(sifted.accepted)
    facts = {**sifted.facts, BY_SOURCE: _by_source(sifted)}
    return Tally(rows_in, height, sifted.rejected.height, bytes_in, size, reasons, examples, facts)


def _by_source(sifted: Sifted) -> dict[str, dict[str, int]]:
    """Documents passed on, their bytes and documents rejected, of each source."""
    size = pl.col("text").str.len_bytes().sum().cast(pl.Int64)
    kept = sifted.accepted.group_by("source").agg(pl.len(), size)
    lost = dict(sifted.rejected.group_by("source").len().iter_rows())
    found = {source: {"documents": rows, "bytes": bytes_, "rejected": 0} for source, rows, bytes_ in kept.iter_rows()}
    for source, rows in lost.items():
        found.setdefault(source, {"documents": 0, "bytes": 0, "rejected": 0})["rejected"] = rows
    return dict(sorted(found.items()))


def add_facts(first: Facts, second: Facts) -> Facts:
    """Numbers added, mappings key by key, lists one after the other; anything else must be the same in both."""
    found = dict(first)
    for key, value in second.items():
        if key not in found:
            found[key] = value
        elif isinstance(value, Mapping):
            found[key] = add_facts(found[key], dict(value))
        elif isinstance(value, int | float | list) and not isinstance(value, bool):
            found[key] = found[key] + value
        elif found[key] != value:
            raise ValueError(f"facts differ: {key} is {found[key]!r} and {value!r}")
    return found


def text_bytes(frame: pl.DataFrame) -> int:
    """UTF-8 bytes of a frame's texts."""
    return int(frame["text"].str.len_bytes().sum()) if frame.height else 0


def document_id(uri: str) -> str:
    """Id of the document at `uri`: half a SHA-256, 32 hex digits; a uri never changes its id."""
    return hashlib.sha256(uri.encode()).hexdigest()[:_ID_DIGITS]


def digest_of(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def ids_of(uris: pl.Series) -> pl.Series:
    """Ids of the documents at these uris."""
    return digests_of(uris).str.head(_ID_DIGITS)


def digests_of(texts: pl.Series) -> pl.Series:
    """The same of each text of a column, from its bytes."""
    data, ends = text_buffers(texts)
    view, sha256 = data.data, hashlib.sha256
    found = [sha256(view[start:end]).hexdigest() for start, end in pairwise(ends.tolist())]
    return pl.Series("digest", found, dtype=pl.String)


def with_texts(frame: pl.DataFrame, texts: Mapping[int, str]) -> pl.DataFrame:
    """The frame with other texts in some rows (by number from 0), their digests made anew."""
    if not texts:
        return frame
    rows, digests = list(texts), [digest_of(text) for text in texts.values()]
    return frame.with_columns(
        text=frame["text"].scatter(rows, pl.Series(list(texts.values()))),
        digest=frame["digest"].scatter(rows, pl.Series(digests)),
    )


def sifted(frame: pl.DataFrame, against: Mapping[int, tuple[str, ...]], facts: Facts) -> Sifted:
    """A shard parted: the rows (by number from 0) that something is against, with the reasons, and the others."""
    if not against:
        return Sifted(frame, REJECTED_SCHEMA.to_frame(), facts)
    rows = pl.Series(list(against), dtype=pl.UInt32)
    is_out = pl.Series(np.isin(np.arange(frame.height, dtype=np.uint32), rows.to_numpy()))
    order = sorted(against)
    rejected = frame[order].with_columns(
        reasons=pl.Series([list(against[row]) for row in order], dtype=pl.List(pl.String))
    )
    return Sifted(frame.filter(~is_out), rejected, facts)


def part(name: str) -> str:
    """File name of a shard."""
    return f"part-{name}.parquet"


def name_of(file: str) -> str:
    """Shard of a file name."""
    return file.removeprefix("part-").removesuffix(".parquet")


def read_index(folder: Path) -> list[Shard]:
    """Shards of a table, in their order.

    Raises:
        StepError: there is no table.
    """
    try:
        return [Shard(**entry) for entry in json.loads((folder / INDEX).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise StepError(
            f"expected a document table in {folder}, found no {INDEX}; "
            f"run what makes it first: `dvc repro {folder.name}`"
        ) from None


def write_index(out: Path, shards: Iterable[Shard]) -> None:
    """Write the index of a table, one line a shard."""
    lines = (json.dumps(shard._asdict(), separators=(", ", ": ")) for shard in shards)
    (out / INDEX).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def read_shard(folder: Path, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of one shard.

    Raises:
        StepError: the shard is not there.
    """
    return rows_in(file_of(folder, name), columns)


def file_of(folder: Path, name: str) -> Path:
    """File of the rows of a shard.

    Raises:
        StepError: it is not there.
    """
    path = folder / part(name)
    if not path.is_file():
        raise StepError(f"expected {path}, found none; make the table anew: `dvc repro {folder.name}`")
    return path


def rows_in(file: bytes | Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of a shard that work was given, as `Engine.carried` names its file."""
    given = io.BytesIO(file) if isinstance(file, bytes) else file
    return pl.read_parquet(given, columns=list(columns) if columns else None, glob=False)


def read(folder: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of all shards; ask for the columns that you need.

    Raises:
        StepError: there is no table, or a shard of it is not there.
    """
    empty = pl.DataFrame(schema={name: SCHEMA[name] for name in columns or COLUMNS})
    return pl.concat([empty, *(read_shard(folder, shard.name, columns) for shard in read_index(folder))])


def read_rejected(folder: Path) -> pl.DataFrame:
    """Rejected rows of a step, none if it rejected none."""
    paths = [path for shard in read_index(folder) if (path := folder / REJECTED / part(shard.name)).is_file()]
    return pl.concat([REJECTED_SCHEMA.to_frame(), *(pl.read_parquet(path, glob=False) for path in paths)])


def files_of(name: str, sifted: Sifted, *, is_same: bool = False) -> tuple[Shard, dict[str, Content]]:
    """A parted shard as its entry of the index and its files: accepted rows, and rejected ones where there are some.

    Args:
        name: of the shard.
        sifted: its rows.
        is_same: whether the file of the accepted rows is there already; it is left out then.
    """
    accepted = sifted.accepted.select(COLUMNS)
    files = {} if is_same else {part(name): document_bytes(accepted)}
    if sifted.rejected.height:
        files[f"{REJECTED}/{part(name)}"] = document_bytes(sifted.rejected.select(list(REJECTED_SCHEMA)))
    shard = Shard(name, accepted.height, text_bytes(accepted), digest_of_rows(accepted), sifted.rejected.height)
    return shard, files


def digest_of_rows(frame: pl.DataFrame) -> str:
    """SHA-256 of a shard's rows, in which the digest of a text stands for the text."""
    digest = hashlib.sha256()
    for name in COLUMNS:
        if name != "text":
            data, ends = text_buffers(frame[name])
            digest.update(np.diff(ends).tobytes() + data[ends[0] : ends[-1]].tobytes())
    return digest.hexdigest()


def document_bytes(frame: pl.DataFrame) -> Content:
    """The Parquet file of accepted or rejected rows; Arrow writes one in a third of the time that polars takes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pa.BufferOutputStream()
    # As views: the other form of texts would be a copy of them, as bytes of Python would be of the file. In one chunk,
    # where pages begin does not depend on how the frame came to be.
    table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    pq.write_table(table, file, row_group_size=ROW_GROUP, **arrow_options(frame.columns))
    return file.getvalue()


def arrow_options(names: Iterable[str]) -> dict[str, Any]:
    """How Arrow writes a table of documents with these columns."""
    packed = [name for name in _PACKED if name.partition(".")[0] in names]
    return {
        "write_statistics": False, "store_schema": False, "use_dictionary": list(_REPEATING),
        "compression": dict.fromkeys(packed, "zstd"), "compression_level": dict.fromkeys(packed, 1),
    }  # fmt: skip


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a Parquet file that is the same bytes for the same rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(parquet_bytes(frame))


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """Bytes of a small table of any columns; polars writing to a full disk itself does not say that it is full."""
    file = io.BytesIO()
    frame.rechunk().write_parquet(
        file, compression="zstd", compression_level=1, statistics=True, row_group_size=ROW_GROUP
    )
    return file.getvalue()
