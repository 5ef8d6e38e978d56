"""The bytes of one source file become rows: a text each, or the reason why there is none.

Nothing here knows where a file is; a row's result depends on the bytes, the name's endings and the options alone.
Files are read as streams, so that the memory they take does not grow with them.
"""

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl

from tasks.big_data.archives import decompressed, read_tar, read_zip, seekable
from tasks.big_data.batches import frames_of, jsonl_frames, parquet_frames
from tasks.big_data.encodings import declared_in_python, decoded
from tasks.big_data.formats import ARCHIVE_FORMATS, Named, named
from tasks.big_data.lines import Span
from tasks.big_data.readers_json import read_jsonl
from tasks.big_data.readers_mail import read_eml, read_mbox
from tasks.big_data.readers_pages import check_office, read_docx, read_html, read_pdf, read_pptx
from tasks.big_data.readers_table import read_csv, read_parquet, read_xlsx
from tasks.big_data.rows import Columns, ExhaustedError, NoTextColumnError, Reading, ReadOptions, Row, UnreadableError

__all__ = ["Columns", "NoTextColumnError", "ReadOptions", "Row", "read_batches", "read_rows"]


def read_rows(file: BinaryIO, *, name: str, options: ReadOptions) -> Iterator[Row]:
    """Rows of a source file. What cannot be read is a row with a reason, so that nothing vanishes.

    Args:
        file: content as it is stored, at its beginning.
        name: of the file; its endings say the format and the compression.
        options: how it is read.

    Raises:
        NoTextColumnError: after the last row, if there were rows and none has a text in the text column.
        StepError: a library of the extra `formats` is missing.
    """
    reading = Reading(options, _size(file))
    has_row = has_text = False
    for row in _rows(file, name, 0, reading):
        has_row, has_text = True, has_text or row.reason is None
        yield row
    if not has_row:
        yield Row(None, "", "", "no_rows")
    if not has_text:
        reading.columns.check()


def read_batches(
    file: BinaryIO, *, name: str, options: ReadOptions, span: Span | None = None, columns: Columns | None = None
) -> Iterator[pl.DataFrame]:
    """The same rows as tables of the columns `batches.BATCH`, some MiB each.

    Args:
        file: as `read_rows`.
        name: as `read_rows`.
        options: as `read_rows`.
        span: part of a JSONL file that is not compressed, as `lines.cut` makes it.
        columns: where to note which columns there are; `check` of it then is the caller's, who reads other parts too.

    Raises:
        NoTextColumnError: as `read_rows`, unless `columns` are given.
        StepError: as `read_rows`.
    """
    reading = Reading(options, _size(file), columns or Columns())
    has_row = has_text = False
    for frame in _batches(file, name, reading, span):
        if not frame.height:
            continue
        has_row, has_text = True, has_text or frame["reason"].null_count() > 0
        yield frame
    if not has_row and span is None:
        yield from frames_of(iter([Row(None, "", "", "no_rows")]))
    if not has_text and columns is None:
        reading.columns.check()


def _batches(file: BinaryIO, name: str, reading: Reading, span: Span | None) -> Iterator[pl.DataFrame]:
    kind = named(name, reading.options.format)
    if kind is None or kind.format not in ("jsonl", "parquet"):
        yield from frames_of(_rows(file, name, 0, reading))
        return
    try:
        content = decompressed(file, kind.compression, reading) if kind.compression else file
        if kind.format == "jsonl":
            yield from jsonl_frames(content, reading, span)
        else:
            with seekable(content) as source:
                yield from parquet_frames(source, reading)
    except UnreadableError as error:
        yield from frames_of(iter([Row(None, "", "", error.reason)]))


def _size(file: BinaryIO) -> int | None:
    if not file.seekable():
        return None
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def _rows(file: BinaryIO, name: str, depth: int, reading: Reading) -> Iterator[Row]:
    """Rows of a file, which is this deep within others."""
    kind = named(name, reading.options.format)
    if kind is None:
        yield Row(None, "", "", "unknown_format")
        return
    try:
        content = decompressed(file, kind.compression, reading) if kind.compression else file
        yield from _content(content, kind, depth, reading)
    except UnreadableError as error:
        if depth and isinstance(error, ExhaustedError):
            raise
        yield Row(None, "", "", error.reason)


def _content(file: BinaryIO, kind: Named, depth: int, reading: Reading) -> Iterator[Row]:
    def inner(content: BinaryIO, name: str, deep: int) -> Iterator[Row]:
        return _rows(content, name, deep, reading)

    if kind.format in (*ARCHIVE_FORMATS, "eml", "mbox") and depth >= reading.options.limits.depth:
        raise UnreadableError("archive_too_deep")
    match kind.format:
        case "jsonl":
            yield from read_jsonl(file, reading)
        case "parquet":
            with seekable(file) as source:
                yield from read_parquet(source, reading)
        case "csv":
            yield from read_csv(file, reading, tabs=kind.suffix == ".tsv")
        case "zip":
            yield from read_zip(file, reading, depth, inner)
        case "tar":
            yield from read_tar(file, reading, depth, inner)
        case "mbox":
            yield from read_mbox(file, reading, depth, inner)
        case "eml":
            yield from read_eml(reading.whole(file), reading, depth, inner)
        case "xlsx":
            data = reading.whole(file)
            if kind.suffix != ".xls":
                check_office(data, reading, "xlsx")
            yield from read_xlsx(data, reading)
        case _:
            yield _document(reading.whole(file), kind, reading)


def _document(data: bytes, kind: Named, reading: Reading) -> Row:
    """A whole file as one document."""
    match kind.format:
        case "html":
            return read_html(data)
        case "pdf":
            return read_pdf(data)
        case "docx":
            return read_docx(data, reading)
        case "pptx":
            return read_pptx(data, reading)
    declared = declared_in_python(data) if kind.suffix == ".py" else ""
    text, encoding = decoded(data, declared=declared)
    return Row(None, text, encoding, None)
