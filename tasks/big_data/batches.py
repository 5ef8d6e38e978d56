"""Rows as tables of columns: what a source file holds, many rows at once, without an object for each row."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import orjson
import polars as pl

from tasks.big_data.lines import Span, blocks_of_lines
from tasks.big_data.readers_json import row_of
from tasks.big_data.rows import MIB, NO_TEXT, NO_TEXT_COLUMN, TEXT_NOT_STRING, Reading, Row, UnreadableError

# `row` is null where the file is the document, `reason` where the row is a document; `meta` is a JSON object, "" none.
BATCH = pl.Schema(
    {"row": pl.Int64(), "inner": pl.String(), "text": pl.String(), "encoding": pl.String(), "reason": pl.String(),
     "meta": pl.String()}
)  # fmt: skip
_PARQUET_ROWS = 4096
_BATCH_BYTES = 16 * MIB
_BATCH_ROWS = 65_536
_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def frame_of(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as a table."""
    lines = [(row, inner, text, encoding, reason, meta_json(meta)) for row, text, encoding, reason, inner, meta in rows]
    return pl.DataFrame(lines, schema=BATCH, orient="row")


def meta_json(meta: Any) -> str:
    """Metadata as JSON, the same bytes for the same values."""
    return json.dumps(dict(meta), ensure_ascii=False, sort_keys=True, separators=(",", ":")) if meta else ""


def frames_of(rows: Iterator[Row]) -> Iterator[pl.DataFrame]:
    """Rows as tables of some MiB."""
    taken: list[Row] = []
    size = 0
    for row in rows:
        taken.append(row)
        size += len(row.text)
        if size >= _BATCH_BYTES or len(taken) >= _BATCH_ROWS:
            yield frame_of(taken)
            taken, size = [], 0
    if taken:
        yield frame_of(taken)


def jsonl_frames(file: BinaryIO, reading: Reading, span: Span | None = None) -> Iterator[pl.DataFrame]:
    """Rows of JSON Lines, a few MiB at a time.

    Raises:
        UnreadableError: the compressed stream that these come from is damaged.
    """
    column = reading.options.text_columns[0]
    is_plain = reading.options.is_plain and not reading.options.metadata
    number = span.first_row if span else 1
    loads = orjson.loads
    for lines in blocks_of_lines(file, reading.options.limits.line_bytes, span):
        texts: list[str | None] = []
        append = texts.append
        if is_plain:
            for line in lines:
                try:
                    text = loads(line)[column]  # type: ignore[arg-type]
                except (ValueError, TypeError, KeyError, IndexError):
                    text = None
                append(text if text.__class__ is str else None)
        else:
            texts = [None] * len(lines)
        others = {at: row_of(number + at, lines[at], reading) for at, text in enumerate(texts) if text is None}
        if len(others) < len(texts):
            reading.columns.has_text = True
        yield _jsonl_frame(number, texts, others)
        number += len(lines)


def _jsonl_frame(first: int, texts: list[str | None], others: dict[int, Row | None]) -> pl.DataFrame:
    """Lines that are texts as they stand, and rows of those that are not."""
    for at, row in others.items():
        texts[at] = None if row is None else row.text
    frame = pl.DataFrame(
        {
            "row": pl.int_range(first, first + len(texts), dtype=pl.Int64, eager=True),
            "text": pl.Series(texts, dtype=pl.String),
        }
    )
    if not others:
        return _batch(frame, pl.col("text"), pl.lit(None, pl.String), pl.lit(""))
    reasons: list[str | None] = [None] * len(texts)
    metas = [""] * len(texts)
    for at, row in others.items():
        if row is not None:
            reasons[at], metas[at] = row.reason, meta_json(row.meta)
    frame = frame.with_columns(reason=pl.Series(reasons, dtype=pl.String), meta=pl.Series(metas, dtype=pl.String))
    return _batch(frame.filter(pl.col("text").is_not_null()), pl.col("text"), pl.col("reason"), pl.col("meta"))


def parquet_frames(file: BinaryIO, reading: Reading) -> Iterator[pl.DataFrame]:
    """Rows of a Parquet file, a part of a row group at a time.

    Raises:
        UnreadableError: `corrupt_parquet`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = reading.options
    try:
        with pq.ParquetFile(file) as table:
            schema = _frame(table.schema_arrow.empty_table()).schema
            if not _has_text(schema, reading):
                yield from _without_text(table.metadata.num_rows)
                return
            names = [name for name in dict.fromkeys((*options.columns, *options.metadata)) if name in schema]
            first = 1
            for batch in table.iter_batches(_PARQUET_ROWS, columns=names):
                yield _parquet_batch(_frame(pa.Table.from_batches([batch])), first, reading)
                first += batch.num_rows
    except (pa.ArrowException, OSError):
        raise UnreadableError("corrupt_parquet") from None


def _has_text(schema: pl.Schema, reading: Reading) -> bool:
    """Whether a table has what the text is made of; its columns that hold text are noted where it has not."""
    options = reading.options
    present = [name for name in options.columns if name in schema]
    if (present and not options.is_plain) or any(schema[name] in _TEXTS for name in present):
        return True
    reading.columns.miss([name for name, kind in schema.items() if kind in _TEXTS], exists=bool(present))
    return False


def _without_text(rows: int) -> Iterator[pl.DataFrame]:
    for start in range(1, rows + 1, _BATCH_ROWS):
        numbers = pl.int_range(start, min(start + _BATCH_ROWS, rows + 1), eager=True)
        yield _batch(pl.DataFrame({"row": numbers}), pl.lit(""), pl.lit(NO_TEXT_COLUMN), pl.lit(""))


def _frame(table: Any) -> pl.DataFrame:
    """An Arrow table as polars'; a text that is not UTF-8, which Arrow does not look at, becomes bytes."""
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        table = table.cast(pa.schema([_as_bytes(field) for field in table.schema]))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _as_bytes(field: Any) -> Any:
    import pyarrow as pa

    is_text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    return field.with_type(pa.large_binary()) if is_text else field


def _parquet_batch(frame: pl.DataFrame, first: int, reading: Reading) -> pl.DataFrame:
    options = reading.options
    broken = [name for name, kind in frame.schema.items() if kind == pl.Binary and name in options.columns]
    decoded = frame.select(pl.col(name).map_elements(_decoded, return_dtype=pl.String) for name in broken)
    lost = [frame[name].is_not_null() & decoded[name].is_null() for name in broken]
    frame = frame.with_columns(decoded).with_columns(not_utf8=pl.any_horizontal(pl.lit(value=False), *lost))
    meta: pl.Expr | pl.Series = pl.lit("")
    if options.metadata:
        meta = pl.Series([meta_json(options.meta_of(row)) for row in frame.iter_rows(named=True)], dtype=pl.String)
    found = {name: pl.col(name).cast(pl.String) for name in options.columns if name in frame.schema}
    numbers = pl.int_range(first, first + frame.height, dtype=pl.Int64).alias("row")
    if options.is_plain:
        text, missing, reason = found[options.columns[0]], found[options.columns[0]].is_null(), TEXT_NOT_STRING
    else:
        text, reason = _joined(found, reading), NO_TEXT
        missing = pl.all_horizontal(part.fill_null("").str.strip_chars() == "" for part in found.values())
    reasons = pl.when("not_utf8").then(pl.lit("not_utf8")).when(missing).then(pl.lit(reason))
    done = _batch(frame.with_columns(numbers), pl.when(reasons.is_null()).then(text).fill_null(""), reasons, meta)
    reading.columns.has_text = reading.columns.has_text or done["reason"].null_count() > 0
    return done


def _joined(found: dict[str, pl.Expr], reading: Reading) -> pl.Expr:
    """Columns joined by the template."""
    options = reading.options
    if not options.template:
        filled = [pl.when(part.str.len_bytes() > 0).then(part) for part in found.values()]
        return pl.concat_str(filled, separator="\n", ignore_nulls=True)
    parts = [
        pl.lit(literal) + (found[column].fill_null("") if column in found else pl.lit(""))
        for literal, column in options.parts
    ]
    return pl.concat_str(parts)


def _batch(frame: pl.DataFrame, text: pl.Expr, reason: pl.Expr, meta: pl.Expr | pl.Series) -> pl.DataFrame:
    return frame.select(
        pl.col("row").cast(pl.Int64), pl.lit("").alias("inner"), text.alias("text"),
        pl.when(reason.is_null()).then(pl.lit("utf-8")).otherwise(pl.lit("")).alias("encoding"),
        reason.cast(pl.String).alias("reason"), meta.alias("meta"),
    )  # fmt: skip


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
