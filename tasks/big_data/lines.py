"""Bytes become lines of bounded length, and a file of lines is cut into parts for several cores."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK_BYTES = 4 << 20
_MARK = b"\xef\xbb\xbf"


class Span(NamedTuple):
    """Part of a file of lines: it begins where a line does and ends where one ends; `first_row` counts from 1."""

    start: int
    end: int
    first_row: int


def cut(file: BinaryIO, span_bytes: int) -> Iterator[Span]:
    """Cut a file of lines into parts of at least this many bytes (the last one may be shorter); reads it once."""
    start = position = 0
    row = first_row = 1
    while block := file.read(_BLOCK_BYTES):
        at = 0
        while position + len(block) - start >= span_bytes:
            end = block.find(b"\n", max(at, start + span_bytes - 1 - position)) + 1
            if not end:
                break
            row += block.count(b"\n", at, end)
            yield Span(start, position + end, first_row)
            start, first_row, at = position + end, row, end
        row += block.count(b"\n", at)
        position += len(block)
    if position > start:
        yield Span(start, position, first_row)


def blocks_of_lines(file: BinaryIO, line_bytes: int, span: Span | None = None) -> Iterator[list[bytes | None]]:
    """Lines without their ends, many at once; None is a line that is longer than `line_bytes`, which is passed over.

    The last line may be empty. A byte order mark is no part of the first line.
    """
    left = -1
    if span is not None:
        file.seek(span.start)
        left = span.end - span.start
    at_start = span is None or span.start == 0
    begun: list[bytes] = []  # of a line that is not over
    begun_bytes = 0
    passing = False
    read = getattr(file, "read1", file.read)  # gives what came before the damage of a compressed file
    while block := read(min(_BLOCK_BYTES, left) if left >= 0 else _BLOCK_BYTES):
        left -= len(block) if left >= 0 else 0
        if at_start:
            block, at_start = block.removeprefix(_MARK), False
        *whole, rest = block.split(b"\n")
        if whole:
            lines: list[bytes | None] = list(whole)
            if passing:
                lines[0] = None
            elif begun:
                first = lines[0]
                assert first is not None
                lines[0] = b"".join((*begun, first)) if begun_bytes + len(first) <= line_bytes else None
            if line_bytes < _BLOCK_BYTES:
                lines = [line if line is None or len(line) <= line_bytes else None for line in lines]
            yield lines
            begun, begun_bytes, passing = [], 0, False
        if rest and not passing:
            begun.append(rest)
            begun_bytes += len(rest)
            if begun_bytes > line_bytes:
                begun, begun_bytes, passing = [], 0, True
    if begun or passing:
        yield [None if passing else b"".join(begun)]
