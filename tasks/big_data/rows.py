"""What all readers share: the row they yield, the options and limits they read by, and how columns become a text."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import Formatter
from typing import Any, BinaryIO, NamedTuple

from tasks.report import StepError

MIB = 1 << 20
GIB = 1 << 30
NO_TEXT_COLUMN, TEXT_NOT_STRING, NO_TEXT = "no_text_column", "text_not_string", "no_text"


class Row(NamedTuple):
    """One document of a source file, or the reason why there is none.

    `row` is its line, row or message from 1, None where the file is the document; `inner` is the path of the file
    within an archive or a mail, "" where there is none.
    """

    row: int | None
    text: str
    encoding: str
    reason: str | None
    inner: str = ""
    meta: Mapping[str, str] | None = None


class UnreadableError(ValueError):
    """The file as a whole, or the rest of it, is not readable; `reason` is a short name for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ExhaustedError(UnreadableError):
    """A source file costs more than the limits say: nothing more is read of it."""


class NoTextColumnError(ValueError):
    """No row has a text in the text column; `columns` hold text, `exists` says whether there is one of that name."""

    def __init__(self, columns: list[str], *, exists: bool) -> None:
        super().__init__(", ".join(columns))
        self.columns = columns
        self.exists = exists


@dataclass(frozen=True)
class Limits:
    """What one source file may cost; what is beyond is rejected with a reason, so that no file can fill the memory."""

    line_bytes: int = 64 * MIB  # one line of JSONL or CSV: `line_too_long`
    document_bytes: int = 128 * MIB  # one file that is read whole: `document_too_large`
    # What comes out of a compressed file or an archive, nested ones included: `archive_too_large`. The factor catches
    # bombs early (text rarely packs better than 20 times, the worst logs 100 times, a bomb 1,000 times).
    expanded_bytes: int = 256 * GIB
    expanded_slack_bytes: int = 64 * MIB
    expanded_factor: int = 250
    members: int = 1_000_000  # files in an archive, nested ones included: `archive_too_many_members`
    depth: int = 4  # archives and mails within one another: `archive_too_deep`


@dataclass(frozen=True)
class ReadOptions:
    """How a source's files are read.

    `text_columns` of a format with columns are joined by `template`, such as "{title}\\n{description}"; without one
    by line ends. `metadata` names columns (of a mail: headers) that go along. `format` is the
    ending that files are read by, "" for their own; `delimiter` is that of CSV, "" to find it.
    """

    text_columns: tuple[str, ...] = ("text",)
    template: str = ""
    metadata: tuple[str, ...] = ()
    format: str = ""
    delimiter: str = ""
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def parts(self) -> tuple[tuple[str, str | None], ...]:
        """The template as pairs of what stands before a column and the column (None after the last one).

        Raises:
            StepError: the template is none.
        """
        if not self.template:
            first, *others = self.text_columns
            return (("", first), *(("\n", column) for column in others))
        try:
            parts = [part[:2] for part in Formatter().parse(self.template)]
        except ValueError as error:
            raise StepError(
                f"expected a template such as '{{title}}: {{text}}', found {self.template!r}: {error}"
            ) from None
        return tuple(parts)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns that the text is made of, each once."""
        return tuple(dict.fromkeys(column for _, column in self.parts if column is not None))

    @cached_property
    def is_plain(self) -> bool:
        """Whether the text is one column as it stands."""
        return not self.template and len(self.text_columns) == 1

    def text_of(self, values: Mapping[str, Any]) -> str | None:
        """Text of a row with these values, None if none of its columns has one."""
        if self.is_plain:
            only = as_text(values.get(self.text_columns[0]))
            return only if only.strip() else None
        found = {column: as_text(values.get(column)) for column in self.columns}
        if not any(text.strip() for text in found.values()):
            return None
        if not self.template:
            return "\n".join(text for text in found.values() if text)
        return "".join(f"{literal}{'' if column is None else found[column]}" for literal, column in self.parts)

    def meta_of(self, values: Mapping[str, Any]) -> dict[str, str] | None:
        """Metadata of a row with these values; a column without a value is none."""
        if not self.metadata:
            return None
        return {name: as_text(values[name]) for name in self.metadata if values.get(name) is not None} or None


def read_options(text: str, *, metadata: tuple[str, ...] = (), format: str = "") -> ReadOptions:
    """Options from what a source says of its text: a column, or a template with columns in braces."""
    columns, template = (("text",), text) if "{" in text else ((text,), "")
    return ReadOptions(text_columns=columns, template=template, metadata=metadata, format=format)


def as_text(value: Any) -> str:
    """A cell in words: nothing is "", whole numbers have no decimals, lists and objects are JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class Columns:
    """Whether any row had a text, and which columns hold text where none has."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.has_text = self.is_missing = self.exists = False

    def miss(self, names: Sequence[str], *, exists: bool) -> None:
        """A row without a text: its columns that hold text, and whether the text column is there at all."""
        self.is_missing = True
        self.exists = self.exists or exists
        self.names.update(dict.fromkeys(names))

    def add(self, other: "Columns") -> None:
        """Join what another part of the same file had."""
        self.names.update(other.names)
        self.has_text = self.has_text or other.has_text
        self.is_missing = self.is_missing or other.is_missing
        self.exists = self.exists or other.exists

    def check(self) -> None:
        """Refuse a file whose rows have columns, none of them the one with the text.

        Raises:
            NoTextColumnError: no row had a text.
        """
        if self.is_missing and not self.has_text:
            raise NoTextColumnError(list(self.names), exists=self.exists)


@dataclass
class Reading:
    """What the readers of one source file share: how to read it, and what came out of it so far."""

    options: ReadOptions
    packed_bytes: int | None = None
    columns: Columns = field(default_factory=Columns)
    expanded_bytes: int = 0
    members: int = 0

    def expand(self, size: int) -> None:
        """Count bytes that came out of a compressed file or an archive.

        Raises:
            ExhaustedError: these are too many.
        """
        self.expanded_bytes += size
        limits = self.options.limits
        most = limits.expanded_bytes
        if self.packed_bytes is not None:
            most = min(most, limits.expanded_slack_bytes + limits.expanded_factor * self.packed_bytes)
        if self.expanded_bytes > most:
            raise ExhaustedError("archive_too_large")

    def enter(self) -> None:
        """Count a file of an archive.

        Raises:
            ExhaustedError: these are too many.
        """
        self.members += 1
        if self.members > self.options.limits.members:
            raise ExhaustedError("archive_too_many_members")

    def whole(self, file: BinaryIO) -> bytes:
        """All bytes of a file that is read whole.

        Raises:
            UnreadableError: these are too many.
        """
        most = self.options.limits.document_bytes
        data = file.read(most + 1)
        if len(data) > most:
            raise UnreadableError("document_too_large")
        return data


# Reads a file within another one: content, name, how deep it is.
ReadInner = Callable[[BinaryIO, str, int], Iterator[Row]]


def library(name: str) -> Any:
    """A library of the extra `formats`.

    Raises:
        StepError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StepError(f"a source needs {name}, but: {error}; type pip install -e '.[formats]'") from error


def is_utf8(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which is no character but can be spelt in escapes."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
