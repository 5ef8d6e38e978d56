"""JSON Lines become rows: one document a line that is an object with a text (https://jsonlines.org)."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from tasks.big_data.lines import Span, blocks_of_lines
from tasks.big_data.rows import NO_TEXT, NO_TEXT_COLUMN, TEXT_NOT_STRING, Reading, Row, is_utf8


def read_jsonl(file: BinaryIO, reading: Reading, span: Span | None = None) -> Iterator[Row]:
    """Rows of a file, or of a part of it; blank lines are none."""
    number = span.first_row - 1 if span else 0
    column = reading.options.text_columns[0]
    is_plain = reading.options.is_plain and not reading.options.metadata
    loads, tuple_new, columns = orjson.loads, tuple.__new__, reading.columns
    for lines in blocks_of_lines(file, reading.options.limits.line_bytes, span):
        for line in lines:
            number += 1
            if is_plain:
                try:
                    text = loads(line)[column]  # type: ignore[arg-type]
                except (ValueError, TypeError, KeyError, IndexError):
                    text = None
                if text.__class__ is str:
                    columns.has_text = True
                    yield tuple_new(Row, (number, text, "utf-8", None, "", None))
                    continue
            row = row_of(number, line, reading)
            if row is not None:
                yield row


def row_of(number: int, line: bytes | None, reading: Reading) -> Row | None:
    """Row of a line, or the reason why it is none; None if the line is blank."""
    if line is None:
        return Row(number, "", "", "line_too_long")
    if not line.strip():
        return None
    try:
        raw = line.decode()
    except UnicodeDecodeError:
        return Row(number, line.decode("utf-8", "backslashreplace"), "", "not_utf8")
    try:
        value = _value(line, raw)
        if not isinstance(value, dict):
            return Row(number, raw, "", "not_an_object")
        text, reason = _text(value, reading)
        if reason == TEXT_NOT_STRING:
            json.loads(raw)  # refuses numbers of thousands of digits, which orjson reads
    except (ValueError, RecursionError):
        return Row(number, raw, "", "broken_json")
    if reason is None and not is_utf8(text):
        reason = "lone_surrogate"
    if reason in (None, "lone_surrogate"):
        reading.columns.has_text = True
    if reason is not None:
        return Row(number, raw, "", reason)
    meta = reading.options.meta_of(value)
    if meta is not None and not is_utf8("".join(meta.values())):
        return Row(number, raw, "", "lone_surrogate")
    return Row(number, text, "utf-8", None, "", meta)


def _value(line: bytes, raw: str) -> Any:
    """What a line says; orjson refuses NaN and halves of surrogate pairs, which json reads.

    Raises:
        ValueError: it is no JSON, or has a number of thousands of digits.
        RecursionError: it is nested too deeply.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(raw)


def _text(value: dict[str, Any], reading: Reading) -> tuple[str, str | None]:
    """Text of an object, and the reason if there is none."""
    options = reading.options
    if options.is_plain:
        column = options.text_columns[0]
        text = value.get(column)
        if isinstance(text, str):
            return text, None
        reason = TEXT_NOT_STRING if column in value else NO_TEXT_COLUMN
    else:
        joined = options.text_of(value)
        if joined is not None:
            return joined, None
        if any(column in value for column in options.columns):
            return "", NO_TEXT
        reason = NO_TEXT_COLUMN
    names = [key for key, other in value.items() if isinstance(other, str) and key.isprintable()]
    reading.columns.miss(names, exists=reason == TEXT_NOT_STRING)
    return "", reason
