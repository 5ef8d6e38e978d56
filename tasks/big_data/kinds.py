"""What a source is like becomes how it is cleaned: kind of text, languages to expect, lines to remove; and why.

Only a source's own documents decide, so that adding another source changes nothing for it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tasks.big_data.boilerplate import Line, chosen
from tasks.big_data.language import Expected, expected
from tasks.big_data.survey import NOTE_CHARACTERS, Measures
from tasks.params import Params
from tasks.presets import TextKind
from tasks.thresholds import Thresholds

_MOST = 0.5


class Choice(NamedTuple):
    """By which rules a source is cleaned, why, and which of its lines are removed."""

    kind: TextKind
    why: str
    thresholds: Thresholds
    languages: Expected
    lines: dict[str, Line]


def choices(measured: Mapping[str, Measures], params: Params) -> dict[str, Choice]:
    """Choice for each source: its kind as it or `clean.preset` says, else by its documents."""
    own = {source.uri for source in params.discover.sources if source.kind}
    found: dict[str, Choice] = {}
    for uri, measures in sorted(measured.items()):
        said = params.source(uri).kind
        if said == "" or said == "auto":
            kind, why = kind_of_text(measures)
        else:
            kind, why = said, "as the source says" if uri in own else "as clean.preset says"
        removes = kind in ("prose", "web") and params.clean.boilerplate.remove
        lines = chosen(measures.lines, measures.long, params.clean.boilerplate) if removes else {}
        found[uri] = Choice(kind, why, params.clean.thresholds(kind), expected(measures.languages), lines)
    return found


def kind_of_text(measures: Measures) -> tuple[TextKind, str]:
    """Kind and reason: code by the endings of file names, notes by a median length, prose is what is left.

    Documents without text are not counted.
    """
    documents = measures.with_text
    if not documents:
        return "prose", "no document has text"
    if measures.code > _MOST * documents:
        return "code", f"{measures.code:,} of {documents:,} documents are files of source code"
    middle = measures.median_length
    if middle < NOTE_CHARACTERS:
        return "notes", f"median length {middle:,} characters, below {NOTE_CHARACTERS}"
    return "prose", f"median length at least {NOTE_CHARACTERS} characters"
