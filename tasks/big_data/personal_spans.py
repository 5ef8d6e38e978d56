"""A piece of a text that is personal, and a text with such pieces replaced by placeholders."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """From `start` to before `end`, in characters, is of this kind."""

    start: int
    end: int
    kind: str


def placeholder(kind: str) -> str:
    """What a kind is replaced by: `email` becomes `<EMAIL>`."""
    return f"<{kind.upper()}>"


def apart(spans: Iterable[Span], rank: dict[str, int]) -> list[Span]:
    """Spans in their order without overlaps: of two that overlap, that of the kind which comes first in `rank`."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.start, rank[each.kind], -each.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
        elif rank[span.kind] < rank[kept[-1].kind]:
            kept[-1] = span
    return kept


def joined(first: list[Span], second: list[Span]) -> list[Span]:
    """Both lists; spans that overlap become one, of the kind of the longer, so that no part of either is left."""
    merged: list[tuple[Span, int]] = []  # the span, and the length of the one that named it
    for span in sorted([*first, *second]):
        length = span.end - span.start
        if merged and span.start < merged[-1][0].end:
            last, longest = merged[-1]
            kind = span.kind if length > longest else last.kind
            merged[-1] = (Span(last.start, max(last.end, span.end), kind), max(length, longest))
        else:
            merged.append((span, length))
    return [span for span, _ in merged]


def replace(text: str, spans: list[Span], counts: Counter[str]) -> str:
    """The text with placeholders; `counts` counts them by kind."""
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], placeholder(span.kind)]
        at = span.end
        counts[span.kind] += 1
    return "".join([*pieces, text[at:]])
