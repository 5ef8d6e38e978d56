"""A company's own list of names and numbers, found in a text by one pass over it (Aho and Corasick, 1975).

A match begins and ends at word boundaries; of those that begin at the same place the longest counts. The list is
secret: no message here shows a value of it.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import ahocorasick

from tasks.big_data.personal_spans import Span
from tasks.report import StepError

COLUMNS, OPTIONAL = ("text", "kind"), "case_sensitive"
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
_YES, _NO = ("1", "true", "yes", "ja"), ("", "0", "false", "no", "nein")
_WHITE = "\t\n\r\u00a0\u202f"


class Name(NamedTuple):
    """One entry of a list."""

    text: str
    kind: str
    case_sensitive: bool


def read_names(data: bytes, origin: str) -> tuple[Name, ...]:
    """Entries of a CSV file with the columns text, kind and, if wanted, case_sensitive.

    Raises:
        StepError: it is no such file; the message names the row and never what is in it.
    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = set(rows.fieldnames or ())
        if not columns or not set(COLUMNS) <= columns <= {*COLUMNS, OPTIONAL}:
            raise StepError(f"{origin}: expected the columns {', '.join(COLUMNS)}[,{OPTIONAL}] in its first line")
        return tuple(dict.fromkeys(_entry(row, f"{origin}, row {number}") for number, row in enumerate(rows, start=2)))
    except (UnicodeDecodeError, csv.Error):
        raise StepError(f"{origin}: expected a CSV file in UTF-8") from None


def _entry(row: dict[str, Any], where: str) -> Name:
    if None in row or any(value is None for value in row.values()):
        raise StepError(f"{where}: expected as many values as there are columns; put quotes around a comma")
    text = " ".join(unicodedata.normalize("NFC", row["text"]).split())
    kind, flag = row["kind"].strip().lower(), row.get(OPTIONAL, "").strip().lower()
    if len(text) < 2:
        raise StepError(f"{where}: expected a text of two characters or more")
    if not _KIND.fullmatch(kind):
        raise StepError(f"{where}: expected a kind of letters, digits and underscores, as in person or customer_id")
    if flag not in _YES + _NO:
        raise StepError(f"{where}: expected true or false in {OPTIONAL}")
    return Name(text, kind, flag in _YES)


class Names:
    """The list, ready to be looked for."""

    def __init__(self, entries: tuple[Name, ...]) -> None:
        self.kinds = tuple(sorted({entry.kind for entry in entries}))
        self._parts = [(fold, _automaton(entries, fold=fold)) for fold in (False, True)]

    def find(self, text: str) -> list[Span]:
        """Entries of the list in this text, in order and without overlaps."""
        white = text
        for character in _WHITE:
            white = white.replace(character, " ")
        found: list[Span] = []
        for fold, automaton in self._parts:
            if automaton is not None:
                found += self._matches(text, _folded(white) if fold else white, automaton)
        kept: list[Span] = []
        for span in sorted(found, key=lambda each: (each.start, -each.end, each.kind)):
            if not kept or span.start >= kept[-1].end:
                kept.append(span)
        return kept

    def _matches(self, text: str, seen: str, automaton: Any) -> Iterator[Span]:
        for last, (length, kind) in automaton.iter(seen):
            start, end = last + 1 - length, last + 1
            whole = not (_joins(seen, start - 1, start) or _joins(seen, end - 1, end))
            if whole and not (text[start - 1 : start] == "<" and _is_placeholder(text, start, end)):
                yield Span(start, end, kind)


def _automaton(entries: tuple[Name, ...], *, fold: bool) -> Any:
    words: dict[str, tuple[int, str]] = {}
    for entry in entries:
        if entry.case_sensitive != fold:
            text = _folded(entry.text) if fold else entry.text
            words.setdefault(text, (len(text), entry.kind))
    if not words:
        return None
    automaton = ahocorasick.Automaton()
    for text, value in words.items():
        automaton.add_word(text, value)
    automaton.make_automaton()
    return automaton


def _folded(text: str) -> str:
    """Lower case of the same length, so that places stay what they are."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower()[0] for c in text)


def _joins(text: str, left: int, right: int) -> bool:
    """Whether two characters beside each other belong to one word."""
    return left >= 0 and right < len(text) and _in_word(text[left]) and _in_word(text[right])


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_placeholder(text: str, start: int, end: int) -> bool:
    """Whether a word is the inside of a placeholder, as in <EMAIL>: a list may well have the word."""
    return text[end : end + 1] == ">" and text[start:end].isupper()


@lru_cache(maxsize=2)
def names_of(data: bytes) -> Names:
    """The list in a file that was read before; made once a process."""
    return Names(read_names(data, "the list of names"))
