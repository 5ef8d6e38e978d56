"""Tables become rows: one document a row of CSV, of a spreadsheet, or of Parquet; columns are joined by a template."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, cast

import orjson

from tasks.big_data.batches import parquet_frames
from tasks.big_data.encodings import encoding_of
from tasks.big_data.rows import (
    MIB,
    NO_TEXT,
    NO_TEXT_COLUMN,
    Reading,
    Row,
    UnreadableError,
    is_utf8,
    library,
)

_SAMPLE_BYTES = 4 * MIB
_DELIMITERS = ",;\t|"
_DELIMITER_ROWS = 50
_CANNOT_DECODE = "mixed_encodings"
_MOST_NULS = 0.01
BLOCK_CHARACTERS = 1 << 16


def read_csv(file: BinaryIO, reading: Reading, *, tabs: bool = False) -> Iterator[Row]:
    """Rows of CSV below its first one, which names the columns (https://www.rfc-editor.org/rfc/rfc4180)."""
    sample = file.read(_SAMPLE_BYTES)
    if not sample:
        return
    # A character may be cut in two at the end of a sample; a line end is none of its bytes.
    whole_lines = sample[: sample.rfind(b"\n") + 1] if len(sample) == _SAMPLE_BYTES and b"\n" in sample else sample
    encoding = _encoding(whole_lines)
    delimiter = reading.options.delimiter or ("\t" if tabs else _delimiter(whole_lines.decode(encoding, "replace")))
    csv.field_size_limit(reading.options.limits.line_bytes)  # of the process: a quote that is never closed ends there
    stream = io.TextIOWrapper(
        cast(BinaryIO, io.BufferedReader(Joined(sample, file), MIB)),
        encoding=encoding,
        errors="strict" if encoding.startswith("utf-16") or encoding.startswith("utf-32") else "surrogateescape",
        newline="",
    )
    yield from _csv_rows(stream, delimiter, encoding.removesuffix("-sig"), reading)


def _encoding(sample: bytes) -> str:
    """Encoding of most rows; those in another one or with NUL bytes are said row by row.

    Raises:
        UnreadableError: it is `binary`, or in an `unknown_encoding`.
    """
    if sample.count(b"\0") < _MOST_NULS * len(sample):
        sample = sample.replace(b"\0", b"")
    try:
        return encoding_of(sample)
    except UnreadableError as error:
        if error.reason == _CANNOT_DECODE:
            return "utf-8"
        raise


class Joined(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, begun: bytes, rest: BinaryIO) -> None:
        self._begun, self._rest = memoryview(begun), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._begun[: len(buffer)] if self._begun else self._rest.read(len(buffer))
        self._begun = self._begun[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _csv_rows(stream: io.TextIOWrapper, delimiter: str, encoding: str, reading: Reading) -> Iterator[Row]:
    lines = Lines(stream, reading.options.limits.line_bytes)
    records = csv.reader(lines, delimiter=delimiter)
    names: list[str] | None = None
    number = 0
    while True:
        number += names is not None
        try:
            record = next(records, None)
        except csv.Error:  # a quote that is never closed
            yield Row(number, "", "", "broken_csv")
            records = csv.reader(lines, delimiter=delimiter)
            continue
        except UnicodeDecodeError:
            raise UnreadableError(_CANNOT_DECODE) from None
        if record is None:
            return
        if lines.too_long:
            lines.too_long = False
            yield Row(number, "", "", "line_too_long")
        elif not record:
            number -= names is not None
        elif names is None:
            names = [name.strip() for name in record]
            number = 0
        else:
            yield _cells(number, names, record, encoding, reading)


class Lines:
    """Lines of a stream; what is beyond the limit is passed over and said."""

    def __init__(self, stream: io.TextIOWrapper, limit: int, block: int = BLOCK_CHARACTERS) -> None:
        self._stream, self._limit, self._block = stream, limit, block
        self.too_long = False

    def __iter__(self) -> Iterator[str]:
        begun, passing = "", False
        while block := self._stream.read(self._block):
            block = begun + block
            end = block.rfind("\n") + 1 or block.rfind("\r", 0, -1) + 1
            begun = block[end:]
            lines = io.StringIO(block[:end], newline="")
            if passing and end:
                next(lines)
                yield self._pass_over()
                passing = False
            if end <= self._limit:
                yield from lines
            else:
                yield from (line if len(line) <= self._limit else self._pass_over() for line in lines)
            if passing or len(begun) > self._limit:
                begun, passing = "", True
        if begun or passing:
            yield self._pass_over() if passing or len(begun) > self._limit else begun

    def _pass_over(self) -> str:
        """A record by itself, in whose place it is said."""
        self.too_long = True
        return "x\n"


def _cells(number: int, names: Sequence[str], record: Sequence[Any], encoding: str, reading: Reading) -> Row:
    """Row of a table's row."""
    values = {name: cell for name, cell in zip(names, record, strict=False) if cell != "" and cell is not None}
    text, meta = reading.options.text_of(values), reading.options.meta_of(values)
    used = text if text is None or meta is None else "".join((text, *meta.values()))
    if used is not None and len(record) <= len(names) and "\0" not in used and is_utf8(used):
        reading.columns.has_text = True
        return Row(number, text or "", encoding, None, "", meta)
    raw = "\t".join(str(cell) for cell in record)
    if len(record) > len(names):
        return Row(number, _printable(raw), "", "ragged_row")
    if not is_utf8(raw):
        return Row(number, _printable(raw), "", _CANNOT_DECODE)
    if "\0" in raw:
        return Row(number, raw, "", "binary")
    if set(names) & set(reading.options.columns):
        return Row(number, raw, "", NO_TEXT)
    reading.columns.miss([name for name in names if isinstance(values.get(name), str)], exists=False)
    return Row(number, raw, "", NO_TEXT_COLUMN)


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _delimiter(sample: str) -> str:
    """Delimiter that gives the first rows the same number of columns, and the most of them."""

    def columns(delimiter: str) -> tuple[bool, int]:
        try:
            records = islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), _DELIMITER_ROWS)
            rows = [len(record) for record in records if record]
        except csv.Error:
            return False, 0
        # The last row of a sample may be cut.
        return len(set(rows[:-1] or rows)) == 1, max(set(rows), key=rows.count, default=0)

    found = {delimiter: columns(delimiter) for delimiter in _DELIMITERS}
    even = {delimiter: many for delimiter, (is_even, many) in found.items() if is_even and many > 1}
    ranked = even or {delimiter: many for delimiter, (_, many) in found.items()}
    return max(ranked, key=lambda delimiter: ranked[delimiter])


def read_xlsx(data: bytes, reading: Reading) -> Iterator[Row]:
    """Rows of every sheet below its first row that is not blank; `inner` names the sheet, but for the first one."""
    calamine = library("python_calamine")
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    except calamine.PasswordError:
        raise UnreadableError("locked") from None
    except calamine.CalamineError:
        raise UnreadableError("corrupt_xlsx") from None
    sheets = [sheet.name for sheet in book.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet]
    for place, name in enumerate(sheets):
        try:
            table = book.get_sheet_by_name(name).iter_rows()
        except calamine.CalamineError:
            raise UnreadableError("corrupt_xlsx") from None
        yield from _sheet(table, name if place else "", reading)


def _sheet(table: Iterable[list[Any]], inner: str, reading: Reading) -> Iterator[Row]:
    names: list[str] | None = None
    number = 0
    for cells in table:
        number += names is not None
        if not any(cell not in ("", None) for cell in cells):
            continue
        if names is None:
            names = [str(cell).strip() for cell in cells]
            continue
        yield _cells(number, names, cells, "utf-8", reading)._replace(inner=inner)


def read_parquet(file: BinaryIO, reading: Reading) -> Iterator[Row]:
    """Rows of a Parquet file; a null is no text."""
    for frame in parquet_frames(file, reading):
        for number, text, reason, meta in frame.select("row", "text", "reason", "meta").iter_rows():
            yield Row(number, text, "" if reason else "utf-8", reason, "", _object(meta))


def _object(meta: str) -> dict[str, str] | None:
    return orjson.loads(meta) if meta else None
