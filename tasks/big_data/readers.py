"""The bytes of one source file become rows: a text each, or the reason why there is none.

Nothing here knows where a file is; a row's result depends on the bytes, the suffixes and the text column alone.
"""

import gzip
import hashlib
import io
import json
import re
import sys
import tokenize
import zlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import polars as pl

# Control characters that no text has; the others (tab, line ends, form feed, escape) occur in real files.
_BINARY_CONTROLS = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.01
# Longest marks first: UTF-32 begins as UTF-16 does.
_MARKS = ((b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe\x00\x00", "utf-32"),
          (b"\xfe\xff", "utf-16"), (b"\xff\xfe", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))  # fmt: skip
_ZST_CHUNK_BYTES = 1 << 20


class Row(NamedTuple):
    """One document of a source: `row` is its line or row from 1, None where the file is the document."""

    row: int | None
    text: str
    encoding: str
    reason: str | None


class UnreadableError(ValueError):
    """The source as a whole is not readable; `reason` is a short name for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoTextColumnError(ValueError):
    """No row has a text in the text column; `columns` hold text, `exists` says whether there is one of that name."""

    def __init__(self, columns: list[str], *, exists: bool) -> None:
        super().__init__(", ".join(columns))
        self.columns = columns
        self.exists = exists


@cache
def reader_version() -> str:
    """Name of what this module makes of a file: another one after any change here or in what it stands on."""
    stands_on = [sys.version, *(f"{name} {version(name)}" for name in ("polars", "charset-normalizer", "zstandard"))]
    return hashlib.sha256(Path(__file__).read_bytes() + "\n".join(stands_on).encode()).hexdigest()


def read_rows(data: bytes, *, suffix: str, compression: str, text_column: str) -> list[Row]:
    """Rows of a source; a source that cannot be read is one row with a reason.

    Args:
        data: bytes of the file as it is stored.
        suffix: `.txt`, `.md`, `.rst`, `.py`, `.jsonl` or `.parquet`.
        compression: `.gz`, `.zst` or "".
        text_column: column of `.jsonl` and `.parquet` that holds the text.

    Raises:
        NoTextColumnError: rows were read, and none has a text in the text column.
    """
    try:
        plain = _decompress(data, compression)
        if suffix == ".jsonl":
            rows = _json_lines(plain, text_column)
        elif suffix == ".parquet":
            rows = _parquet(plain, text_column)
        else:
            rows = [_text(plain, python=suffix == ".py")]
    except UnreadableError as error:
        rows = [Row(None, "", "", error.reason)]
    return rows or [Row(None, "", "", "no_rows")]


def _decompress(data: bytes, compression: str) -> bytes:
    try:
        if compression == ".gz":
            return gzip.decompress(data)
        return b"".join(_zst_frames(data)) if compression == ".zst" else data
    except (OSError, EOFError, zlib.error):
        raise UnreadableError("corrupt_gzip") from None


def _zst_frames(data: bytes) -> Iterator[bytes]:
    """Content of every frame; a truncated one is an error, which zstandard's own reader would not say."""
    import zstandard

    while data:
        frame = zstandard.ZstdDecompressor().decompressobj(write_size=_ZST_CHUNK_BYTES)
        try:
            yield frame.decompress(data)
        except zstandard.ZstdError:
            raise UnreadableError("corrupt_zstd") from None
        if not frame.eof:
            raise UnreadableError("corrupt_zstd")
        data = frame.unused_data


def _text(data: bytes, *, python: bool) -> Row:
    """A whole file as one document."""
    encoding = _encoding(data, python=python)
    text = data.decode(encoding)
    if len(_BINARY_CONTROLS.findall(text)) > _MAX_CONTROL_SHARE * len(text) or "\0" in text:
        raise UnreadableError("binary")
    return Row(None, text, encoding.removesuffix("-sig"), None)


def _encoding(data: bytes, *, python: bool) -> str:
    """Encoding that decodes the bytes: byte order mark, Python's own declaration (PEP 263), UTF-8, or a guess."""
    declared = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not declared and python:
        try:
            declared, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError:  # names an encoding that does not exist
            declared = ""
    for encoding in (declared, "utf-8"):
        if encoding and _decodes(data, encoding):
            return encoding
    if b"\0" in data:
        raise UnreadableError("binary")
    return _guess(data)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        return _is_utf8(data.decode(encoding))
    except (ValueError, LookupError):
        return False


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    if best is None:
        raise UnreadableError("unknown_encoding")
    return best.encoding


def _json_lines(data: bytes, text_column: str) -> list[Row]:
    """One document a line that is an object with a text (https://jsonlines.org); blank lines are none."""
    lines = enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
    columns: dict[str, None] = {}
    rows = [_json_row(number, line, text_column, columns) for number, line in lines if line.strip()]
    reasons = {row.reason for row in rows}
    if reasons & {"no_text_column", "text_not_string"} and not reasons & {None, "lone_surrogate"}:
        raise NoTextColumnError(list(columns), exists="text_not_string" in reasons)
    return rows


def _json_row(number: int, line: bytes, text_column: str, columns: dict[str, None]) -> Row:
    try:
        raw = line.decode()
    except UnicodeDecodeError:
        return Row(number, line.decode("utf-8", "backslashreplace"), "", "not_utf8")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # int() refuses numbers of thousands of digits, with a ValueError
        return Row(number, raw, "", "broken_json")
    if not isinstance(value, dict):
        return Row(number, raw, "", "not_an_object")
    text = value.get(text_column)
    if not isinstance(text, str):
        columns.update(
            dict.fromkeys(key for key, other in value.items() if isinstance(other, str) and key.isprintable())
        )
        return Row(number, raw, "", "text_not_string" if text_column in value else "no_text_column")
    if not _is_utf8(text):
        return Row(number, raw, "", "lone_surrogate")
    return Row(number, text, "utf-8", None)


def _is_utf8(text: str) -> bool:
    """Escapes can spell half a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(data: bytes, text_column: str) -> list[Row]:
    """One document a row; a null is no text."""
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
        strings = [name for name, kind in schema.items() if kind in (pl.String, pl.Categorical, pl.Enum)]
        if text_column not in strings:
            raise NoTextColumnError(strings, exists=text_column in schema)
        column = pl.read_parquet(io.BytesIO(data), columns=[text_column])[text_column].cast(pl.String)
    except (pl.exceptions.PolarsError, OSError):
        raise UnreadableError("corrupt_parquet") from None
    return [
        Row(number, "", "", "text_not_string") if text is None else Row(number, text, "utf-8", None)
        for number, text in enumerate(column, start=1)
    ]
