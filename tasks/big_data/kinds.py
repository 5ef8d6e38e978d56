"""The documents of a source become the kind of text it is, which says by which rules it is cleaned, and why.

Only a source's own documents decide, so that adding another source changes nothing for it.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

from tasks.big_data import documents
from tasks.big_data.formats import CODE_SUFFIXES
from tasks.big_data.sources import suffix_of
from tasks.params import Params, Thresholds
from tasks.presets import TextKind

# Gopher (https://arxiv.org/abs/2112.11446, appendix A.1.1) takes no document of fewer than 50 words, about 300
# characters of English: where the typical document is shorter, rules for prose would measure the wrong thing.
NOTE_CHARACTERS = 300
_MOST = 0.5


class Choice(NamedTuple):
    """By which rules a source is cleaned, and why."""

    kind: TextKind
    why: str
    thresholds: Thresholds


def choices(folder: Path, params: Params) -> dict[str, Choice]:
    """Choice for each source of a document table: as it or `clean.preset` says, else from its documents."""
    uris = documents.read(folder, ["source"])["source"].unique().sort()
    given = {uri: params.source(uri) for uri in uris}
    own = {source.uri for source in params.discover.sources if source.kind}
    measured = _measured(folder) if any(source.kind == "auto" for source in given.values()) else {}
    found: dict[str, Choice] = {}
    for uri, source in given.items():
        if source.kind == "" or source.kind == "auto":
            kind, why = kind_of_text(measured[uri])
        else:
            kind, why = source.kind, "as the source says" if uri in own else "as clean.preset says"
        found[uri] = Choice(kind, why, params.clean.thresholds(kind))
    return found


def kind_of_text(lengths: Mapping[str, int]) -> tuple[TextKind, str]:
    """Kind and reason, from the uri and the length in characters of each document that is not blank.

    Code by the endings of file names, notes by a median length, prose is what is left.
    """
    if not lengths:
        return "prose", "no document has text"
    code = sum(suffix_of(uri) in CODE_SUFFIXES for uri in lengths)
    if code > _MOST * len(lengths):
        return "code", f"{code:,} of {len(lengths):,} documents are files of source code"
    middle = median_low(lengths.values())
    short = middle < NOTE_CHARACTERS
    measure = f"median length {middle:,} characters, {'below' if short else 'at least'} {NOTE_CHARACTERS}"
    return ("notes" if short else "prose"), measure


def _measured(folder: Path) -> dict[str, dict[str, int]]:
    """Source -> uri -> length without white space around it; a source of blank documents has no lengths."""
    found: dict[str, dict[str, int]] = {}
    for shard in documents.read_index(folder):
        for source, uri, text in documents.read_shard(folder, shard.name, ["source", "uri", "text"]).iter_rows():
            lengths = found.setdefault(source, {})
            if length := len(text.strip()):
                lengths[uri] = length
    return found
