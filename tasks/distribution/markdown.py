"""Values become Markdown that nothing in them can break out of."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

# What begins something within a line (CommonMark); a table escapes its bars itself.
_ACTIVE = re.compile(r"[\\`*_{}\[\]()#!~>]")


def as_text(value: Any) -> str:
    """A number as people read it; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}"


def literal(text: str) -> str:
    """Text as it is, on one line: no emphasis, link, picture or HTML comes of it."""
    escaped = _ACTIVE.sub(r"\\\g<0>", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """A table; its cells hold one line each.

    Args:
        head: names of the columns.
        rows: one text a column.
        numbers: columns that hold numbers, counted from 0, to be put in line.
    """
    lines = [head, ["---:" if column in numbers else "---" for column in range(len(head))], *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def code_block(text: str, language: str = "") -> str:
    """Text as it is, fenced by more backquotes than it has in a row anywhere."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
